# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions: what parses, how they order, what belongs to a minor and which steps are allowed."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.versions import (
    COMPANIONS,
    SUPPORTED_MINORS,
    Version,
    companions,
    image_tag,
    kubelet_problem,
    parse_version,
    support_problem,
    upgrade_problem,
)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("v1.36.3", Version(1, 36, 3)),
        ("1.36.3", Version(1, 36, 3)),
        ("v1.37.0-rc.1", Version(1, 37, 0, "rc.1")),
        ("v1.36.3+k3s1", Version(1, 36, 3, "", "k3s1")),
        ("v1.37.0-alpha.2+build.7", Version(1, 37, 0, "alpha.2", "build.7")),
    ],
)
def test_parse(text: str, parsed: Version) -> None:
    assert parse_version(text) == parsed
    assert str(parsed) == "v" + text.removeprefix("v")
    assert parsed.minor_text == f"1.{parsed.minor}"


@pytest.mark.parametrize("text", ["", "1.36", "v1", "latest", "v1.36.x", "v1.36.3 ", "v1.36.3-", "1.36.3.4", "V1.36.3"])
def test_what_is_no_version_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidError, match=r"is not a Kubernetes version; write it in full, such as v1\.36\.3"):
        parse_version(text)


def test_order_is_that_of_semantic_versions() -> None:
    ascending = [
        "v1.9.10",
        "v1.36.0-alpha",
        "v1.36.0-alpha.1",
        "v1.36.0-alpha.beta",
        "v1.36.0-beta.2",
        "v1.36.0-beta.11",
        "v1.36.0-rc.1",
        "v1.36.0",
        "v1.36.3",
        "v1.36.10",
        "v1.37.0",
        "v2.0.0",
    ]
    versions = [parse_version(text) for text in ascending]
    for before, after in itertools.pairwise(versions):
        assert before < after
        assert before <= after
        assert after > before
        assert after >= before
    assert parse_version("v1.36.3+a") <= parse_version("v1.36.3+b")
    assert parse_version("v1.36.3+a") >= parse_version("v1.36.3+b")


def test_supported_minors_are_in_order_and_without_a_gap() -> None:
    numbers = [int(minor.partition(".")[2]) for minor in SUPPORTED_MINORS]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


@pytest.mark.parametrize("minor", SUPPORTED_MINORS)
def test_every_patch_of_a_minor_has_the_same_companions(minor: str) -> None:
    assert companions(f"v{minor}.0") == companions(f"{minor}.17") == COMPANIONS[minor]


@pytest.mark.parametrize("version", ["v1.33.13", "v1.38.0", "v2.36.0"])
def test_an_unknown_minor_has_no_companions(version: str) -> None:
    with pytest.raises(InvalidError, match=f"{version} is not supported; use a version of 1.34 to 1.37"):
        companions(version)


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("v1.34.0", None),
        ("v1.36.3", None),
        ("v1.37.9", None),
        ("v1.37.0-rc.1", None),
        ("v1.33.13", "v1.33.13 is too old; supported are 1.34 to 1.37"),
        ("v1.38.0", "v1.38.0 is too new; supported are 1.34 to 1.37"),
        ("v1.38.0-alpha.1", "v1.38.0-alpha.1 is too new; supported are 1.34 to 1.37"),
        ("v2.0.0", "v2.0.0 is too new; supported are 1.34 to 1.37"),
        ("v0.36.0", "v0.36.0 is too old; supported are 1.34 to 1.37"),
    ],
)
def test_support(version: str, problem: str | None) -> None:
    assert support_problem(version) == problem


@pytest.mark.parametrize(
    ("installed", "wanted", "problem"),
    [
        ("v1.36.3", "v1.36.3", None),
        ("v1.36.3", "v1.36.4", None),
        ("v1.36.3", "v1.36.1", None),
        ("v1.36.3", "v1.37.0", None),
        ("v1.36.3", "v1.37.0-rc.1", None),
        ("v1.36.3", "v1.38.0", "v1.36.3 to v1.38.0 skips a minor; upgrade to 1.37 first"),
        (
            "v1.36.3",
            "v1.35.4",
            "a downgrade from v1.36.3 to v1.35.4 is not possible; create a new tenant, or stay on 1.36",
        ),
        ("v1.36.3", "v2.0.0", "v1.36.3 to v2.0.0 skips a minor; upgrade to 1.37 first"),
        ("v2.0.0", "v1.37.0", "a downgrade from v2.0.0 to v1.37.0 is not possible; create a new tenant, or stay on 2.0"),
    ],
)
def test_upgrade(installed: str, wanted: str, problem: str | None) -> None:
    assert upgrade_problem(installed, wanted) == problem


@pytest.mark.parametrize(
    ("api_server", "kubelet", "problem"),
    [
        ("v1.36.3", "v1.36.3", None),
        ("v1.36.3", "v1.36.9", None),
        ("v1.36.3", "v1.33.0", None),
        ("v1.36.3", "v1.32.9", "kubelet v1.32.9 is more than 3 minors older than the API server v1.36.3; upgrade the node first"),
        ("v1.36.3", "v1.37.0", "kubelet v1.37.0 is newer than the API server v1.36.3; upgrade the control plane first"),
    ],
)
def test_kubelet_skew(api_server: str, kubelet: str, problem: str | None) -> None:
    assert kubelet_problem(api_server, kubelet) == problem


@pytest.mark.parametrize(
    ("version", "tag"), [("v1.36.3", "v1.36.3"), ("1.36.3", "v1.36.3"), ("v1.36.3+k3s1", "v1.36.3_k3s1"), ("v1.37.0-rc.1", "v1.37.0-rc.1")]
)
def test_image_tag(version: str, tag: str) -> None:
    assert image_tag(version) == tag
