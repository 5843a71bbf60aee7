"""The CMake files configure, build and install what the library needs, with a stand-in for Slicer's own macros.

The stand-in does what SlicerMacroBuildScriptedModule does to files: refuse those that are not there, copy the others
into the build tree. It cannot prove packaging inside a real Slicer.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from file_lists import CMAKE, ROOT, expected, rewritten

SLICER = """
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/Use.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/Use.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/Use.cmake")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.10/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.10/qt-scripted-modules)
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "given nonexistent file ${file}")
    endif()
    configure_file(${file} "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${file}" COPYONLY)
    get_filename_component(folder ${file} DIRECTORY)
    install(FILES ${file} DESTINATION ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/${folder})
  endforeach()
endmacro()
function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT" "" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}")
    message(FATAL_ERROR "no test ${MY_SCRIPT}")
  endif()
endfunction()
"""


def run(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def tree(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.skipif(shutil.which("cmake") is None or shutil.which("make") is None, reason="needs cmake and make")
def test_everything_listed_and_every_model_reaches_the_build_and_the_installed_extension(tmp_path) -> None:
    source, fake = tmp_path / "source", tmp_path / "slicer"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "DeepMultiModalReg", source / "DeepMultiModalReg", ignore=ignored)
    shutil.copytree(ROOT / "Resources" / "SampleData", source / "Resources" / "SampleData")
    shutil.copy(ROOT / "CMakeLists.txt", source)
    lists = expected(source / "DeepMultiModalReg")
    cmake = CMAKE.read_text(encoding="utf-8")
    for name in ("scripts", "resources"):
        cmake = rewritten(cmake, name, lists[name], "  {}")
    (source / "DeepMultiModalReg" / "CMakeLists.txt").write_text(cmake, encoding="utf-8")
    models = {"model.schema.json", "some-3d/model.yaml", "some-3d/weights.pt"}
    for name in models | {"notes.txt"}:
        (source / "models" / name).parent.mkdir(parents=True, exist_ok=True)
        (source / "models" / name).write_text(name)
    fake.mkdir()
    (fake / "SlicerConfig.cmake").write_text(SLICER)
    (fake / "Use.cmake").write_text("")
    build, installed = tmp_path / "build", tmp_path / "installed"
    run("cmake", "-S", source, "-B", build, f"-DSlicer_DIR={fake}", f"-DCMAKE_INSTALL_PREFIX={installed}",
        "-DBUILD_TESTING=ON", "-DCMAKE_SUPPRESS_DEVELOPER_WARNINGS=1")
    run("cmake", "--build", build)
    run("cmake", "--install", build)

    wanted = {*lists["scripts"], *lists["resources"], *(f"DeepMultiModalRegLib/models/{name}" for name in models)}
    pair = ("fixed_t1.nii.gz", "moving_t2.nii.gz", "fixed_head_mask.nii.gz", "README.md")
    wanted |= {f"Resources/SampleData/{name}" for name in pair}
    place = "lib/Slicer-5.10/qt-scripted-modules"
    assert tree(installed / place) == wanted
    assert tree(build / place) == wanted
    assert (installed / place / "DeepMultiModalRegLib/models/some-3d/weights.pt").read_text() == "some-3d/weights.pt"
