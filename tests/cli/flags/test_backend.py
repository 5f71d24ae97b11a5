"""--backend: engines and places by one flag, and what is typed wrong."""

import argparse

import pytest

from hpa_hier.cli.flags.backend import ENGINES, PLACES, Backend, add_backend_argument, read_backend
from hpa_hier.errors import UserError


def test_one_of_each_kind_is_read_in_any_order():
    wanted = Backend("onnxruntime", "ray")
    for words in (["onnxruntime", "ray"], ["ray", "onnxruntime"]):
        assert read_backend(words, engines=True, places=True) == wanted
    assert read_backend([], engines=True) == Backend(None, None)


@pytest.mark.parametrize(
    ("words", "kinds", "said"),
    [
        (["opnvino"], {"engines": True}, "no such backend; choose among auto, torch,"),
        (["opnvino"], {"engines": True}, "openvino, openvino-bf16; did you mean 'openvino'?"),
        (["openvino", "torch"], {"engines": True}, "one or the other"),
        (["ray", "dask://a:1"], {"places": True}, "one or the other"),
        (["openvino"], {"places": True}, "no scores are computed here"),
        (["ray"], {"engines": True}, "this machine alone"),
        (["dask://"], {"places": True}, "dask://127.0.0.1:8786"),
        (["dask://host:99999"], {"places": True}, "dask://127.0.0.1:8786"),
        (["dask://host:1"], {"engines": True}, "this machine alone"),
        ([""], {"engines": True, "places": True}, "there is no such backend"),
    ],
)
def test_what_is_typed_wrong_is_told_with_what_there_is(words, kinds, said):
    with pytest.raises(UserError, match="--backend") as told:
        read_backend(words, **kinds)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_the_help_names_every_choice():
    parser = argparse.ArgumentParser()
    add_backend_argument(parser, engines=True, places=True)
    text = " ".join(parser.format_help().split())
    assert all(name in text.replace("dask- local", "dask-local") for name in (*ENGINES, *PLACES))
