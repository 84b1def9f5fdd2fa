"""The error tree travels between processes and names one HTTP answer each."""

import pickle

import pytest

from deployments import errors
from deployments.errors import DarkroomError, ImageTooLarge, UnsupportedImage, image_error


def _tree(cls: type[DarkroomError]) -> list[type[DarkroomError]]:
    return [cls, *(error for child in cls.__subclasses__() for error in _tree(child))]


@pytest.mark.parametrize("cls", _tree(DarkroomError))
def test_every_error_survives_the_pickling_between_processes(cls: type[DarkroomError]) -> None:
    copy = pickle.loads(pickle.dumps(cls("it broke", extra={"code": "x", "n": 3})))
    assert type(copy) is cls
    assert (str(copy), copy.extra) == ("it broke", {"code": "x", "n": 3})


@pytest.mark.parametrize("cls", _tree(DarkroomError))
def test_every_error_names_a_problem_type_and_an_error_status(cls: type[DarkroomError]) -> None:
    assert cls.slug
    assert cls.title
    assert 400 <= cls.status < 600


OUTAGES = {errors.Overloaded, errors.Unavailable, errors.ConnectionsInUse, errors.EnginesAway}
TRANSIENT = OUTAGES | {
    errors.OutOfMemory,
    errors.CapabilityFailed,
    errors.DeadlineExceeded,
    errors.ProviderUnavailable,
    errors.ProviderTimeout,
}
ONLY_TECHNICAL = {errors.WeightsMissing, errors.NotDeployed}


@pytest.mark.parametrize("cls", _tree(DarkroomError))
def test_an_error_is_transient_where_time_may_mend_it_and_technical_where_another_engine_may(
    cls: type[DarkroomError],
) -> None:
    assert cls("x").is_transient is (cls in TRANSIENT)
    assert cls("x").is_technical is (cls in TRANSIENT | ONLY_TECHNICAL)


@pytest.mark.parametrize("cls", _tree(DarkroomError))
def test_an_error_is_an_outage_where_the_work_was_never_tried(cls: type[DarkroomError]) -> None:
    assert cls("x").is_outage is (cls in OUTAGES)


@pytest.mark.parametrize("cls", [cls for cls in _tree(DarkroomError) if cls.__module__ == errors.__name__])
def test_the_drawn_tree_says_of_every_error_what_it_is(cls: type[DarkroomError]) -> None:
    [line] = [
        line
        for line in (errors.__doc__ or "").splitlines()
        if f" {cls.__name__} " in f" {line} " and "Raised" not in line
    ]
    if cls is not DarkroomError:
        assert str(cls.status) in line
    said = ("technical" in line, "transient" in line, "outage" in line)
    assert said == (cls.is_technical, cls.is_transient, cls.is_outage)


def test_an_image_code_chooses_the_http_status() -> None:
    assert isinstance(image_error("too_many_pixels", "big"), ImageTooLarge)
    assert isinstance(image_error("unsupported_type", "svg"), UnsupportedImage)
    assert image_error("corrupt", "cut").code == "corrupt"
