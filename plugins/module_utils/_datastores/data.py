# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a driver to the data of its tenants."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.driver import Driver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd import EtcdDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.etcd_data import EtcdData
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql import MysqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.mysql_data import MysqlDialect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.postgresql import PostgresqlDriver
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.postgresql_data import PostgresqlDialect
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.sql_data import SqlData
from ansible_collections.hosted.kubernetes.plugins.module_utils._datastores.tenant_data import TenantData


def data_of(
    driver: Driver, *, guard: Callable[[], None] = lambda: None, after_batch: Callable[[int], None] = lambda _number: None
) -> TenantData:
    """Return the data behind a driver. guard: told before each batch of writes; raises to stop. after_batch: told the number of each one.

    Of databases the tenant's own login is used, so that shares (Isolation) need the password.
    """
    if isinstance(driver, EtcdDriver):
        return EtcdData(driver, guard=guard, after_batch=after_batch)
    if isinstance(driver, PostgresqlDriver):
        return SqlData(driver, PostgresqlDialect(driver), guard=guard, after_batch=after_batch)
    if isinstance(driver, MysqlDriver):
        return SqlData(driver, MysqlDialect(driver), guard=guard, after_batch=after_batch)
    raise TypeError(type(driver))
