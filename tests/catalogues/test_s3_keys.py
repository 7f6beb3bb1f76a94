"""S3 access keys that are missing: the operator hears of it, and clients don't hear where they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.catalogues.s3 import S3Catalogue
from tests.catalogues.serving import federation


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ": No such file or directory"),
        ("no ini, s3cret", ": expected profiles as Amazon's tools write them"),
        (
            "[default]\naws_secret_access_key = s3cret\n",
            ": expected aws_access_key_id and aws_secret_access_key ",
        ),
    ],
)
def test_the_operator_hears_of_a_missing_key_at_the_start_and_at_its_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | None, said: str
) -> None:
    file = tmp_path / "key"
    file.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    around = federation({"s3": {"credentials": [{"endpoint": "http://127.0.0.1:1", "file": str(file)}]}})

    def logged() -> list[tuple[str, str]]:
        of_keys = [each for each in caplog.records if each.name == "broker.catalogues.s3_options"]
        return [(each.levelname, each.getMessage()) for each in of_keys]

    S3Catalogue(around, True)
    assert logged() == []
    file.unlink()
    if content is not None:
        file.write_text(content)
    catalogue = S3Catalogue(around, True)
    [(level, text)] = logged()
    assert level == "WARNING"
    assert text.startswith(f"there is no access key for http://127.0.0.1:1: {file}{said}")
    assert "s3cret" not in caplog.text
    wanted = {"endpoint": "http://127.0.0.1:1", "bucket": "sky", "object": "a"}
    # which is nothing for the one who asks
    assert str(file) not in str(catalogue.resolve("u-1", "cube", wanted, "/data/0"))
    assert logged() == 2 * [(level, text)]


def test_variables_without_a_key_are_named(caplog: pytest.LogCaptureFixture) -> None:
    entry = {"endpoint": "https://a.example", "environment": "NOBODY_S"}
    S3Catalogue(federation({"s3": {"credentials": [entry]}}), True)
    assert "expected one in NOBODY_S_ACCESS_KEY_ID and NOBODY_S_SECRET_ACCESS_KEY" in caplog.text
