"""Choice: the model for a pair whose caller named none."""

from __future__ import annotations

from ..core import Grid, Image, InputError
from ..methods import LOCATING
from .catalogue import PLACE, LoadedModel, installed_models, load
from .description import ModelDescription
from .foreground import CT_BELOW

MR = {"MR", "T1", "T2", "PD", "FLAIR"}
THICK_MM = 4.0  # slices at least this thick and this many times the finest spacing hold too little along their axis
THICK_RATIO = 3.0
FEW_SLICES = 8


def guess_modality(image: Image) -> str:
    """CT for an image in Hounsfield units; MR else, which is what most of the rest is. For the choice of a model
    only."""
    return "CT" if float(image.tensor.min()) < CT_BELOW else "MR"


def few_slices(grid: Grid) -> bool:
    """Whether too few to tell what lies through the plane: a 2D image, or a volume of less than FEW_SLICES slices."""
    return grid.dimension == 2 or min(grid.size) < FEW_SLICES


def better_in_planes(grid: Grid) -> bool:
    """Whether slice by slice suits the lattice better than a volume: a 2D image, few slices or thick ones."""
    if few_slices(grid):
        return True
    return max(grid.spacing) >= max(THICK_MM, THICK_RATIO * min(grid.spacing))


def choose(fixed: Image, moving: Image, modalities: tuple[str, str] | None = None) -> LoadedModel:
    """The model of the catalogue that suits best, loaded; its `reason` says why.

    modalities: of fixed and moving ("T1", "T2", "CT" ...), guessed from the intensities where not given. A model that
    serves both modalities goes before one that does not, then one of the dimension that suits the fixed image. Of those
    that fit alike the one with the least error where they were compared (`compared` in model.yaml) is taken; those that
    were not compared come last, by name. Models that find an affine transform alone are for those who ask for them by
    name.
    Raises InputError where no model can serve.
    """
    models, broken = installed_models()
    planar = better_in_planes(fixed.grid)
    pairwise = [m for m in models if m.method not in LOCATING and not m.affine]
    usable = [m for m in pairwise if m.dimension == 2 or fixed.grid.dimension == 3]
    if not usable:
        trouble = f" ({broken[0]})" if broken else ""
        raise InputError(
            f"No model for {fixed.grid.dimension}D images is installed{trouble}; "
            f"install one, or name the folder that holds it in the environment variable {PLACE}."
        )
    kinds = modalities or (guess_modality(fixed), guess_modality(moving))

    def fit(model: ModelDescription) -> tuple:
        served = sum(_serves(model.modalities, kind) for kind in kinds)
        # of two that serve, the one that was not trained for other machines' images besides
        beside = len({_family(trained) for trained in model.modalities} - {_family(kind) for kind in (*kinds, "any")})
        return (-served, beside, (model.dimension == 2) != planar)

    closest = min(fit(model) for model in usable)
    alike = [model for model in usable if fit(model) == closest]
    best = min(alike, key=lambda m: (m.compared_mm is None, m.compared_mm, m.name))
    source = "given" if modalities else "guessed"
    reason = f"chosen for {kinds[0]} and {kinds[1]} ({source}), "
    reason += "slice by slice" if best.dimension == 2 and fixed.grid.dimension == 3 else f"{best.dimension}D"
    if not all(_serves(best.modalities, kind) for kind in kinds):
        reason += f"; no installed model was trained for both, this one for {', '.join(best.modalities)}"
    if len(alike) > 1 and best.compared_mm is not None:
        reason += f"; of {len(alike)} that fit alike the one with the least error, {best.compared_mm:.2f} mm"
    return load(best, reason)


def _family(kind: str) -> str:
    """MR for all contrasts of MR."""
    return "MR" if kind in MR else kind


def _serves(trained: list[str], kind: str) -> float:
    """1 when a model's modalities name this one, a little less for 'any', 0 when it was not trained for it."""
    if kind in trained or (kind == "MR" and MR & set(trained)) or (kind in MR and "MR" in trained):
        return 1.0
    return 0.9 if "any" in trained else 0.0


def unsuited(model: LoadedModel, fixed: Image, moving: Image) -> list[str]:
    """A warning for an image that is surely of a kind the model was not trained for. Only CT is ever sure."""
    return [
        f"The {role} image looks like CT, but the model '{model.name}' was trained for {', '.join(model.modalities)}."
        for role, image in (("fixed", fixed), ("moving", moving))
        if guess_modality(image) == "CT" and not _serves(list(model.modalities), "CT")
    ]
