# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in a datastore."""

from __future__ import annotations

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.names import LONGEST_COMMON_NAME, default_schema


def test_a_schema_is_made_of_namespace_and_name() -> None:
    assert default_schema("tenants", "acme") == "tenants_acme"
    assert default_schema("a-b", "c") != default_schema("a", "b-c")


def test_a_long_schema_fits_a_certificate_and_stays_its_own() -> None:
    namespace = "n" * 63
    found = {default_schema(namespace, name) for name in ("t" * 40, "t" * 39 + "u", "t")}
    assert len(found) == 3
    assert all(len(schema) <= LONGEST_COMMON_NAME for schema in found)
    assert default_schema(namespace, "t" * 40) == default_schema(namespace, "t" * 40)
