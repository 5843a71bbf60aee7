"""The catalogue: what is in it is what its description says, or it is refused; and the choice it makes by itself."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from copy import deepcopy
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
import yaml
from fakes import DESCRIPTION, phantom, write_tiny_model
from lattices import make_grid

from DeepMultiModalRegLib.core import Affine, Image, InputError
from DeepMultiModalRegLib.engine import find, installed_models, load, register, write_model
from DeepMultiModalRegLib.engine.choice import MR, choose
from DeepMultiModalRegLib.engine.description import model_schema
from DeepMultiModalRegLib.engine.schema import violations
from DeepMultiModalRegLib.methods import LOCATING, build

GRID = make_grid((24, 22, 20), (2, 2, 2), (0, 0, 0), np.eye(3))
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A folder of models that is the only place where the catalogue looks."""
    monkeypatch.setenv("DEEPMULTIMODALREG_MODELS", str(tmp_path))
    monkeypatch.setattr("DeepMultiModalRegLib.engine.catalogue.SHIPPED", ())
    return tmp_path


def rewrite(folder: Path, change) -> None:
    data = yaml.safe_load((folder / "model.yaml").read_text())
    change(data)
    (folder / "model.yaml").write_text(yaml.safe_dump(data))


def test_a_written_model_is_found_and_loads_with_the_same_weights_in_half_precision(models):
    method = build("hierarchical", 3, DESCRIPTION["settings"])
    write_model(models / "hierarchical-x-3d", DESCRIPTION, method.state_dict())
    loaded = load("hierarchical-x-3d")
    for key, value in method.state_dict().items():
        assert torch.equal(loaded.method.state_dict()[key], value.half().float())
        assert loaded.method.state_dict()[key].dtype == torch.float32
    assert not loaded.method.training and not any(p.requires_grad for p in loaded.method.parameters())
    assert loaded.sha256 == hashlib.sha256((models / "hierarchical-x-3d" / "weights.pt").read_bytes()).hexdigest()
    assert loaded.spacing == 4.0 and loaded.dimension == 3
    saved = torch.load(models / "hierarchical-x-3d" / "weights.pt", weights_only=True)
    assert all(v.dtype == torch.float16 for v in saved.values())


def test_a_written_description_holds_to_the_schema_and_nothing_is_left_beside_it(models):
    folder = write_tiny_model(models, "hierarchical-x-2d", dimension=2)
    assert sorted(p.name for p in folder.iterdir()) == ["model.yaml", "weights.pt"]
    jsonschema.Draft202012Validator(model_schema()).validate(yaml.safe_load((folder / "model.yaml").read_text()))


def test_writing_refuses_what_the_schema_refuses_and_weights_beyond_half_precision(models):
    state = build("hierarchical", 3, DESCRIPTION["settings"]).state_dict()
    with pytest.raises(InputError, match="citation: is missing"):
        write_model(models / "bad", {k: v for k, v in DESCRIPTION.items() if k != "citation"}, state)
    state[next(iter(state))].fill_(1e6)
    with pytest.raises(InputError, match="half precision"):
        write_model(models / "bad", DESCRIPTION, state)
    assert list(models.iterdir()) == []


def test_a_model_of_the_catalogue_registers_and_the_report_names_it(models):
    folder = write_tiny_model(models, "hierarchical-x-3d")
    report = register(phantom(GRID), phantom(GRID, (2.0, 0, 0)), "hierarchical-x-3d").report
    digest = hashlib.sha256((folder / "weights.pt").read_bytes()).hexdigest()
    assert report["model"]["name"] == "hierarchical-x-3d" and report["model"]["sha256"] == digest


def test_a_loaded_model_is_kept_but_its_file_is_checked_each_time(models):
    folder = write_tiny_model(models, "hierarchical-x-3d")
    assert load("hierarchical-x-3d").method is load("hierarchical-x-3d").method
    (folder / "weights.pt").write_bytes(b"x" * (folder / "weights.pt").stat().st_size)
    with pytest.raises(InputError, match="altered or cut off"):
        load("hierarchical-x-3d")


def flip_a_byte(folder: Path) -> None:
    raw = bytearray((folder / "weights.pt").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "weights.pt").write_bytes(raw)


def cut_off(folder: Path) -> None:
    (folder / "weights.pt").write_bytes((folder / "weights.pt").read_bytes()[:-100])


def replace_with(folder: Path, raw: bytes) -> None:
    """Other weights whose size and SHA-256 the description names rightly."""
    (folder / "weights.pt").write_bytes(raw)
    new = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    rewrite(folder, lambda data: data["weights"].update(new))


class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path("hostile-code-has-run"),))


def pickled_code(folder: Path) -> None:
    torch.save({"g1": Hostile()}, folder / "hostile.pt")
    replace_with(folder, (folder / "hostile.pt").read_bytes())


def plain_pickle(folder: Path) -> None:
    replace_with(folder, pickle.dumps(Hostile()))


def other_network(folder: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), folder / "other.pt")
    replace_with(folder, (folder / "other.pt").read_bytes())


def a_list(folder: Path) -> None:
    torch.save([1, 2, 3], folder / "list.pt")
    replace_with(folder, (folder / "list.pt").read_bytes())


def linked_outside(folder: Path) -> None:
    outside = folder.parent / "outside.pt"
    shutil.move(folder / "weights.pt", outside)
    (folder / "weights.pt").symlink_to(outside)


TAMPERED = {
    flip_a_byte: "SHA-256 differs.*altered or cut off; install",
    cut_off: "altered or cut off; install",
    lambda folder: (folder / "weights.pt").unlink(): "cannot be read",
    lambda folder: rewrite(folder, lambda d: d["weights"].update(sha256="0" * 64)): "SHA-256 differs",
    lambda folder: rewrite(folder, lambda d: d["weights"].update(file="../outside.pt")): "weights.file.*does not match",
    lambda folder: rewrite(folder, lambda d: d["weights"].update(file="/etc/passwd")): "weights.file.*does not match",
    lambda folder: rewrite(folder, lambda d: d["weights"].update(file="..")): "weights.file.*does not match",
    linked_outside: "outside its folder",
    pickled_code: "do not fit",
    plain_pickle: "do not fit",
    other_network: "do not fit its method",
    a_list: "do not fit",
    lambda folder: rewrite(folder, lambda d: d.update(method="os")): "method 'os' is not one of",
    lambda folder: rewrite(folder, lambda d: d["settings"].update(shell="rm")): "settings of method",
    lambda folder: rewrite(folder, lambda d: d.update(name="another")): "calls itself 'another'",
    lambda folder: rewrite(folder, lambda d: d.update(dimension=4)): "dimension: 4 is not one of 2, 3",
    lambda folder: rewrite(folder, lambda d: d["working"].update(spacing=float("nan"))): "working.spacing",
    lambda folder: rewrite(folder, lambda d: d["working"].update(size=[16, 16])): "as many numbers as the dimension",
    lambda folder: rewrite(folder, lambda d: d.update(extra=1)): "extra: is not a known field",
    lambda folder: (folder / "model.yaml").write_text("!!python/object/apply:os.system [touch hostile-code-has-run]"): (
        "cannot be read"
    ),
    lambda folder: (folder / "model.yaml").write_text("a: &a [1,1]\nb: [*a,*a]"): "aliases",
    lambda folder: (folder / "model.yaml").write_text("[" * 5000): "nested too deeply",
    lambda folder: (folder / "model.yaml").write_text("- 1\n- 2"): "is not of type object",
    lambda folder: (folder / "model.yaml").write_text(""): "is not of type object",
    lambda folder: (folder / "model.yaml").write_bytes(b"\xff\xfe\x00name"): "cannot be read",
    lambda folder: (folder / "model.yaml").write_text("# " + "x" * 300_000): "larger than",
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda f: TAMPERED[f][:40])
def test_a_tampered_model_is_refused_and_runs_no_code(models, tamper, monkeypatch):
    monkeypatch.chdir(models)
    tamper(write_tiny_model(models, "hierarchical-x-3d"))
    with pytest.raises(InputError, match=TAMPERED[tamper]):
        load("hierarchical-x-3d")
    assert not (models / "hostile-code-has-run").exists()


def test_one_broken_model_does_not_hide_the_others(models):
    write_tiny_model(models, "hierarchical-a-3d")
    (write_tiny_model(models, "hierarchical-b-3d") / "model.yaml").write_text("nothing")
    found, broken = installed_models()
    assert [model.name for model in found] == ["hierarchical-a-3d"]
    assert len(broken) == 1 and "hierarchical-b-3d" in broken[0]


@pytest.mark.parametrize("name", ["no-such-model", "../hierarchical-a-3d", "hierarchical-a-3d/", "/etc", "", "."])
def test_an_unknown_name_is_refused_with_those_known(models, name):
    write_tiny_model(models, "hierarchical-a-3d")
    with pytest.raises(InputError, match="choose one of: hierarchical-a-3d"):
        find(name)


def test_nothing_installed_is_said(models):
    with pytest.raises(InputError, match="none is installed"):
        find("any")
    with pytest.raises(InputError, match="No model for 3D images is installed"):
        register(phantom(GRID), phantom(GRID))


def test_the_choice_follows_dimension_and_modality(models):
    write_tiny_model(models, "hierarchical-t1t2-2d", dimension=2)
    write_tiny_model(models, "hierarchical-t1t2-3d")
    write_tiny_model(models, "hierarchical-ctmr-2d", dimension=2, modalities=["CT", "MR"])
    mr = phantom(GRID)
    ct = Image(mr.tensor * 2 - 1000, GRID)
    thick = phantom(make_grid((48, 44, 9), (1, 1, 6), (0, 0, 0), np.eye(3)))
    flat = phantom(make_grid((48, 44), (1, 1), (0, 0), np.eye(2)))
    assert choose(mr, mr).name == "hierarchical-t1t2-3d"
    assert choose(thick, mr).name == "hierarchical-t1t2-2d"
    assert choose(flat, flat).name == "hierarchical-t1t2-2d"
    assert choose(ct, mr).name == "hierarchical-ctmr-2d"
    assert choose(mr, ct).name == "hierarchical-ctmr-2d"
    assert choose(mr, mr, ("CT", "T1")).name == "hierarchical-ctmr-2d"
    write_tiny_model(models, "hierarchical-t1t2pd-3d", modalities=["T1", "T2", "PD"])
    write_tiny_model(models, "other-t1t2-2d", dimension=2)
    assert choose(mr, mr, ("T1", "T2")).dimension == 3, "one contrast more counts less than slices for a volume"
    assert "guessed" in choose(ct, mr).reason and "given" in choose(mr, mr, ("T1", "T2")).reason
    assert "no installed model was trained for both" in choose(mr, mr, ("PET", "T1")).reason
    assert register(flat, flat).report["model"]["name"] == "hierarchical-t1t2-2d"


def compared(error_mm: float) -> dict:
    return {"error_mm": error_mm, "cases": "a test's", "command": "none"}


def test_of_models_that_fit_alike_the_one_measured_best_is_chosen_and_not_the_first_by_name(models):
    write_tiny_model(models, "a-unmeasured-3d")
    image = phantom(GRID)
    assert choose(image, image).name == "a-unmeasured-3d" and "fit alike" not in choose(image, image).reason
    write_tiny_model(models, "b-worse-3d", compared=compared(2.0))
    assert choose(image, image).name == "b-worse-3d", "measured goes before unmeasured"
    write_tiny_model(models, "c-best-3d", compared=compared(1.25))
    write_tiny_model(models, "d-same-3d", compared=compared(1.25))
    write_tiny_model(models, "a-planar-2d", dimension=2, compared=compared(0.1))
    write_tiny_model(models, "a-other-3d", modalities=["PET"], compared=compared(0.1))
    chosen = choose(image, image)
    assert chosen.name == "c-best-3d" and "of 4 that fit alike the one with the least error, 1.25 mm" in chosen.reason


def test_shipped_models_that_may_meet_were_compared_on_the_same_cases():
    groups: dict[tuple, list] = {}
    for model in installed_models()[0]:
        if model.method in LOCATING or model.affine:
            continue
        families = frozenset("MR" if kind in MR else kind for kind in model.modalities)
        groups.setdefault((families, model.dimension), []).append(model)
    assert any(len(group) > 1 for group in groups.values())
    for group in groups.values():
        if len(group) > 1:
            assert all(model.compared_mm is not None for model in group), [model.name for model in group]
            assert len({(m.data["compared"]["cases"], m.data["compared"]["command"]) for m in group}) == 1
            best = min(group, key=lambda m: m.compared_mm)
            assert choose(*images_for(best)).name == best.name


def images_for(model) -> tuple[Image, Image, tuple[str, str]]:
    """A pair that the model was made for."""
    grid = GRID if model.dimension == 3 else make_grid((48, 44), (1, 1), (0, 0), np.eye(2))
    image = phantom(grid)
    return image, image, tuple(model.modalities[:2])


def test_a_model_that_finds_an_affine_alone_is_never_chosen_but_can_be_named(models):
    level = {"radius": 1, "star": 1, "reduced": 4, "widths": [4, 4], "full": 4}
    settings = {"levels": [level], "steps": 4, "width": 4, "blocks": 1, "registration": "affine"}
    write_tiny_model(models, "a-nemar-affine-3d", method="nemar", settings=settings)
    image = phantom(GRID)
    with pytest.raises(InputError, match="No model for 3D images is installed"):
        choose(image, image)
    write_tiny_model(models, "hierarchical-t1t2-3d", modalities=["PD"])
    assert choose(image, image, ("T1", "T2")).name == "hierarchical-t1t2-3d"
    assert isinstance(register(image, image, model="a-nemar-affine-3d").transform, Affine)


def mutations():
    """Valid and broken descriptions of every kind the schema knows."""
    good = {
        **deepcopy(DESCRIPTION),
        "name": "a-b-3d",
        "weights": {"file": "weights.pt", "sha256": "a" * 64, "bytes": 9},
    }
    yield good
    for path, value in [
        (("name",), "Upper Case"), (("name",), 7), (("name",), None), (("dimension",), 5), (("dimension",), "3"),
        (("dimension",), 3.0), (("dimension",), True), (("modalities",), []), (("modalities",), ["X-ray"]),
        (("modalities",), "T1"), (("anatomy",), ["x" * 90]), (("working", "spacing"), -1), (("working", "spacing"), 99),
        (("working", "spacing"), 2), (("working", "spacing"), "2"), (("working", "size"), [1, 1, 1]),
        (("working", "size"), [64.5, 64, 64]), (("working", "size"), [64] * 5), (("working", "depth"), 3),
        (("normalisation",), "none"), (("weights", "sha256"), "A" * 64), (("weights", "bytes"), 0),
        (("weights", "bytes"), 10**12), (("weights", "file"), "a/b.pt"), (("weights", "url"), "http://x"),
        (("training", "seed"), 1.5), (("training", "commit"), "not-a-hash"), (("training", "commit"), "0123abc"),
        (("training", "data"), [1]), (("results",), [{"dice": 0.8}]), (("results",), ["0.8"]), (("limits",), {}),
        (("compared",), {"error_mm": 1.5, "cases": "a", "command": "b"}), (("compared",), {"error_mm": 1.5}),
        (("compared",), {"error_mm": -1, "cases": "a", "command": "b"}), (("description",), ""),
        (("settings",), []), (("licence",), None), (("surplus",), 1),
        (("shares",), [{"network": "g1", "from": "g1", "model": "a-b-3d", "sha256": "b" * 64}]), (("shares",), []),
        (("shares",), [{"network": "../g1", "from": "g1", "model": "a-b-3d", "sha256": "b" * 64}]),
    ]:  # fmt: skip
        data = deepcopy(good)
        place = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        yield data
    for key in good:
        yield {k: v for k, v in good.items() if k != key}
    yield from ([], None, "text", 3)


def test_the_library_s_validator_agrees_with_jsonschema():
    schema = model_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    full = jsonschema.Draft202012Validator(schema)
    verdicts = set()
    for data in mutations():
        expected = full.is_valid(data)
        assert (violations(data, schema) == []) == expected, json.dumps(data)
        verdicts.add(expected)
    assert verdicts == {True, False}


def test_a_schema_keyword_that_would_go_unchecked_is_an_error():
    with pytest.raises(ValueError, match="uniqueItems"):
        violations([1, 1], {"type": "array", "uniqueItems": True})


def test_the_shipped_models_hold_to_the_schema_and_to_their_weights():
    folders = sorted(path.parent for path in (REPOSITORY / "models").glob("*/model.yaml"))
    for folder in folders:
        jsonschema.Draft202012Validator(model_schema()).validate(yaml.safe_load((folder / "model.yaml").read_text()))
        raw = (folder / "weights.pt").read_bytes()
        data = yaml.safe_load((folder / "model.yaml").read_text())
        assert hashlib.sha256(raw).hexdigest() == data["weights"]["sha256"] and len(raw) <= 10_000_000
    assert (REPOSITORY / "models" / "model.schema.json").is_file()
