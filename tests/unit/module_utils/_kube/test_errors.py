# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors from answers: class, facts and message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hosted.kubernetes.plugins.module_utils._kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidObjectError,
    NotFoundError,
    UnauthorizedError,
    api_error,
    status_of,
)


def _error(code: int, body: bytes) -> ApiError:
    return api_error("https://a:6443", "PATCH", "/api/v1/x", status_of(code, body))


def _status(code: int, reason: str = "", message: str = "told", **fields: Any) -> bytes:
    return json.dumps({"kind": "Status", "code": code, "reason": reason, "message": message, **fields}).encode()


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", InvalidObjectError),
        (401, "Unauthorized", UnauthorizedError),
        (403, "Forbidden", ForbiddenError),
        (404, "NotFound", NotFoundError),
        (409, "AlreadyExists", AlreadyExistsError),
        (409, "Conflict", ConflictError),
        (410, "Expired", GoneError),
        (410, "Gone", GoneError),
        (422, "Invalid", InvalidObjectError),
        (429, "TooManyRequests", ApiError),
        (500, "InternalError", ApiError),
    ],
)
def test_class_follows_the_answer(code: int, reason: str, kind: type[ApiError]) -> None:
    error = _error(code, _status(code, reason))
    assert error.__class__ is kind
    assert (error.status, error.reason, error.message, error.method, error.path) == (code, reason, "told", "PATCH", "/api/v1/x")
    assert error.msg == f"https://a:6443: PATCH /api/v1/x: {code} {reason}: told"


def test_conflict_names_managers_and_fields() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl-edit" using apps/v1', "field": ".spec.replicas"},
        {"reason": "FieldManagerConflict", "message": 'conflict with "helm"', "field": ".spec.paused"},
    ]
    error = _error(409, _status(409, "Conflict", "Apply failed with 2 conflicts", details={"causes": causes}))
    assert isinstance(error, ConflictError)
    assert error.msg.endswith("; field .spec.replicas belongs to manager kubectl-edit; field .spec.paused belongs to manager helm")
    assert error.managers == {"kubectl-edit", "helm"}


def test_conflict_of_versions_names_no_fields() -> None:
    error = _error(409, _status(409, "Conflict", "the object has been modified"))
    assert isinstance(error, ConflictError)
    assert error.msg.endswith("Conflict: the object has been modified")
    assert error.managers == frozenset()


def test_field_that_the_schema_lacks_is_the_objects_fault() -> None:
    message = "failed to create typed patch object (a/b; /v1, Kind=ConfigMap): .dta: field not declared in schema"
    error = _error(500, _status(500, "", message))
    assert isinstance(error, InvalidObjectError)
    assert error.status == 422
    assert ".dta: field not declared in schema" in error.msg


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>\n <b>Bad  Gateway</b></html>", "<html> <b>Bad Gateway</b></html>"),
        (b"x" * 600, "x" * 512 + "…"),
        (b"", ""),
        (b'{"a": 1}', '{"a": 1}'),
        (b"\xff\xfe", "��"),
    ],
)
def test_answers_that_are_no_status(body: bytes, message: str) -> None:
    error = _error(502, body)
    assert (error.status, error.message) == (502, message)
