"""A real S3 server: moto's, started here, with credentials of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ensemble_run import MeanOfPixels, SmallRun, write_images

from hpa_hier.cli.data import main as data_main
from hpa_hier.cli.ensemble import main
from hpa_hier.data.images.scan import scan
from hpa_hier.data.pack.pack import Pack
from hpa_hier.errors import UserError
from hpa_hier.files.remote.path import to_path
from hpa_hier.predict import predictor as module
from hpa_hier.predict.fit_run import fit_run

pytestmark = pytest.mark.cluster


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="pip install 'moto[server,s3]'")
    s3fs = pytest.importorskip("s3fs", reason="pip install 'hpa-hier[s3]'")
    started = server.ThreadedMotoServer(port=0)
    started.start()
    host, port = started.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HPA_HIER_CACHE", str(tmp_path / "cache"))
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"hpa-{port}"  # servers of one process share what they hold
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()
    started.stop()


def upload(folder: Path, to: str) -> None:
    import s3fs

    for path in folder.rglob("*"):
        if path.is_file():
            s3fs.S3FileSystem().put_file(str(path), f"{to}/{path.relative_to(folder).as_posix()}")


def test_a_bucket_is_packed_opened_and_answered_for_as_a_folder_is(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = SmallRun(tmp_path)
    fit_run(run.run)
    scorers = {name: MeanOfPixels(scores) for name, scores in run.members.items()}
    monkeypatch.setattr(module, "load_scorers", lambda *_: scorers)
    write_images(tmp_path / "images", 5)
    (tmp_path / "images" / "image-01_green.png").write_bytes(b"")
    upload(tmp_path / "images", f"{bucket}/images")
    for images, out in (("images", "here"), (f"{bucket}/images", "there")):
        assert main(["predict", images, "--run", "small", "--out", out]) == 1
    for name in ("probabilities.csv", "submission.csv"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert f"image-01,{bucket}/images/image-01_green.png,0 bytes" in (tmp_path / "there" / "rejected.csv").read_text()
    assert "hush" not in "".join(path.read_text() for path in (tmp_path / "there").iterdir())
    (tmp_path / "labels.csv").write_text("Id,Target\nimage-00,0\nimage-02,2\nimage-03,25\nimage-04,19\n")
    given = ["--labels", "labels.csv", "--size", "16", "--out", "packed", "--on-problem", "skip"]
    assert data_main(["pack", "--images", f"{bucket}/images", *given]) == 0
    upload(tmp_path / "packed", f"{bucket}/pack")
    assert Pack.open(f"{bucket}/pack").digest == Pack.open(tmp_path / "packed").digest


def test_what_a_server_refuses_is_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="s3://nowhere/images: no such bucket, folder or file; check the address"):
        scan("s3://nowhere/images")
    import s3fs

    monkeypatch.setattr("hpa_hier.files.remote.path._PAUSE", 0.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match=r"s3://hpa-\d+/images: cannot be read from there \(.*\); check the network"):
        to_path(f"{bucket}/images").exists()
