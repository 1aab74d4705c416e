# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in a datastore."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import (
    LONGEST_DATASTORE_USER,
    LONGEST_SCHEMA,
    default_schema,
    default_user,
)


def test_a_schema_is_made_of_namespace_and_name() -> None:
    assert default_schema("tenants", "acme") == "tenants_acme"
    assert default_schema("a-b", "c") != default_schema("a", "b-c")


def test_a_long_schema_fits_every_datastore_and_stays_its_own() -> None:
    namespace = "n" * 63
    found = {default_schema(namespace, name) for name in ("t" * 40, "t" * 39 + "u", "t")}
    assert len(found) == 3
    assert all(len(schema) <= LONGEST_SCHEMA for schema in found)
    assert default_schema(namespace, "t" * 40) == default_schema(namespace, "t" * 40)


def test_the_user_of_a_share_has_its_name_unless_that_is_too_long() -> None:
    assert default_user("tenants_acme") == "tenants_acme"
    found = {default_user("t" * length) for length in (32, 33, 34)}
    assert len(found) == 3
    assert all(len(user) == LONGEST_DATASTORE_USER for user in found)


def test_a_long_name_is_cut_between_characters() -> None:
    assert default_user("ü" * 20).startswith("ü" * 9 + "_")
