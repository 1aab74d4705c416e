# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate to prometheus_client: the one file of this package that imports it.

A missing library must not hinder an import (ansible-test imports every file without it), so the names stand for None until
require() is called, which raises the ImportError that the program explains.
"""

from __future__ import annotations

import importlib

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.gc_collector import GCCollector
    from prometheus_client.process_collector import ProcessCollector
except ImportError:
    CollectorRegistry = Counter = Gauge = Histogram = generate_latest = None  # type: ignore[assignment,misc]
    GaugeMetricFamily = Metric = GCCollector = ProcessCollector = None  # type: ignore[assignment,misc]

__all__ = [
    "CollectorRegistry",
    "Counter",
    "GCCollector",
    "Gauge",
    "GaugeMetricFamily",
    "Histogram",
    "Metric",
    "ProcessCollector",
    "generate_latest",
    "require",
]


def require() -> None:
    """Raise ImportError when prometheus_client cannot be imported."""
    importlib.import_module("prometheus_client")
