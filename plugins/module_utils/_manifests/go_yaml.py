# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML written to the letter as kubeadm writes it (sigs.k8s.io/yaml): checksums of such texts are compared."""

from __future__ import annotations

import functools
import json
from typing import Any

from ansible_collections.hosted.kubernetes.plugins.module_utils._api.resources import Json
from ansible_collections.hosted.kubernetes.plugins.module_utils._manifests.library import yaml


def to_yaml(document: Json) -> str:
    """Return a document as YAML: sorted keys, sequences not indented, no line folded, ends with a line break."""
    return _written(json.dumps(document))


@functools.lru_cache(maxsize=1024)
def _written(document: str) -> str:
    """Kept, since each plan of a tenant writes the same few documents: that was half of the time a plan took."""
    text: str = yaml.dump(json.loads(document), Dumper=_dumper(), allow_unicode=True, default_flow_style=False, width=1_000_000)
    return text


@functools.cache
def _dumper() -> Any:
    """A dumper that quotes as Go does: double quotes around text that would read as another type, else single ones."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent_text(dumper: Any, text: str) -> Any:
        tag = "tag:yaml.org,2002:str"
        if "\n" in text:
            return dumper.represent_scalar(tag, text, style="|")
        reads_as_text = dumper.resolve(yaml.ScalarNode, text, (True, False)) == tag
        return dumper.represent_scalar(tag, text, style=None if reads_as_text else '"')

    Dumper.add_representer(str, represent_text)
    return Dumper
