#!/usr/bin/python
# Copyright: hosted.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_preflight
short_description: What on a host is in the way of Kubernetes
description:
  - Looks at a host and says what is wrong, how bad it is, where, and what to do. Changes nothing, and does not fail over what it finds.
  - Checks C(privileges), C(python), C(operating_system), C(kernel), C(programs), C(kernel_modules), C(sysctls), C(cgroups), C(swap), C(memory),
    C(disk), C(disk_speed), C(hostname), C(clock), C(security) (SELinux, AppArmor), C(container_runtime), C(other_kubernetes), C(leftovers) (of
    former clusters), C(ports), C(dns), C(reach), C(mtu), C(api_server) and C(firewall).
  - What M(hosted.kubernetes.host_system) is going to set right by itself is no finding.
  - On a host that has joined a cluster, ports, room on disks and leftovers are not looked at.
  - Needs Python's standard library only. Run as root, since much is readable for root only.
version_added: 0.1.0
author:
  - hosted.kubernetes contributors (@hosted-kubernetes)
options:
  node_name:
    description: Name that the host's Node has or will have; the host's own name when not given.
    type: str
    default: ""
  architecture:
    description: Architecture of the bundle that the host gets, such as V(amd64). Not compared when empty.
    type: str
    default: ""
  kernel_modules:
    description: Kernel modules that are going to be loaded.
    type: list
    elements: str
    default: []
  sysctls:
    description: Kernel settings that are going to be made.
    type: dict
    default: {}
  swap:
    description: Whether swap is going to be switched V(off) or V(keep) its state.
    type: str
    choices: ["off", keep]
    default: "off"
  kubelet_configuration:
    description: Settings of the host's kubelet, as far as they are known; C(cgroupDriver), C(failSwapOn) and C(failCgroupV1) count.
    type: dict
    default: {}
  systemd_cgroup:
    description: Whether containerd is going to make cgroups through systemd.
    type: bool
    default: true
  tools:
    description: Programs to look for besides those every node needs; alternatives are separated by C(|).
    type: list
    elements: str
    default: []
  ports:
    description: TCP ports that must be free.
    type: list
    elements: int
    default: [10248, 10249, 10250, 10256]
  disks:
    description: Paths whose room counts; the nearest existing parent is measured. The first is tried for speed.
    type: list
    elements: path
    default: [/var/lib/containerd, /var/lib/kubelet, /usr/local/bin]
  minimum_free_mb:
    description: Room in MiB that each of O(disks) must have.
    type: int
    default: 3072
  minimum_memory_mb:
    description: Memory in MiB that the host must have.
    type: int
    default: 900
  maximum_fsync_ms:
    description: Milliseconds that the fastest of eight synchronised writes may take. V(0) tries none. The file has no name and leaves nothing.
    type: float
    default: 100
  connect:
    description: Targets such as V(198.51.100.10:6443) that the host must reach by TCP, with packets of O(minimum_mtu).
    type: list
    elements: str
    default: []
  minimum_mtu:
    description: Bytes that a packet to each of O(connect) must be able to have, as the kernel knows the way.
    type: int
    default: 1280
  resolve:
    description: Names that must have an address, such as those of registries.
    type: list
    elements: str
    default: []
  api_server:
    description: Address and port of the tenant's API server, whose clock is compared with the host's. Needs O(ca).
    type: str
    default: ""
  ca:
    description: CA certificates of the tenant (PEM), by which the API server's certificate is checked.
    type: str
    default: ""
  controller_time:
    description:
      - Seconds since the epoch on the controller's clock when the task starts, such as V({{ '%s' | ansible.builtin.strftime }}). The host's clock
        is compared with it; the time it takes to reach the host counts as a difference.
    type: float
  maximum_clock_offset:
    description: Seconds by which the host's clock may be off.
    type: float
    default: 240
  container_runtime_config:
    description: Path of containerd's configuration, by which a containerd of these roles is known.
    type: path
    default: /etc/containerd/config.toml
  container_runtime_unit:
    description: Path of containerd's unit, by which a containerd of these roles is known.
    type: path
    default: /etc/systemd/system/containerd.service
  ignore:
    description: Checks whose findings are left out.
    type: list
    elements: str
    default: []
  only:
    description: The only checks to make; all when empty.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for each connection and each program.
    type: float
    default: 5
extends_documentation_fragment:
  - hosted.kubernetes.attributes
  - hosted.kubernetes.attributes.host
  - hosted.kubernetes.attributes.info
"""

EXAMPLES = r"""
- name: Look at a host
  hosted.kubernetes.host_preflight:
    kernel_modules: [overlay, br_netfilter]
    connect: ["198.51.100.20:6443", "198.51.100.20:8132"]
    controller_time: "{{ '%s' | ansible.builtin.strftime }}"
  become: true
  register: preflight

- name: Show what was found
  ansible.builtin.debug:
    msg: "{{ preflight.findings | hosted.kubernetes.findings_table }}"
"""

RETURN = r"""
findings:
  description: What is wrong, errors first; empty for a host in order.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Name of the check, by which O(ignore) leaves it out.
      type: str
    severity:
      description: V(error) when Kubernetes will not run or the host cannot join, V(warning) when it may hurt later.
      type: str
    problem:
      description: What is wrong.
      type: str
    where:
      description: The file, port, device or address.
      type: str
    remedy:
      description: What to do.
      type: str
  sample:
    - check: ports
      severity: error
      problem: TCP port 10250 is in use by k3s
      where: "10250"
      remedy: stop that program, or give it another port
errors:
  description: How many of them are errors.
  returned: always
  type: int
facts:
  description: What P(hosted.kubernetes.fleet_findings#filter) compares with other hosts.
  returned: when O(only) is empty
  type: dict
  contains:
    machine_id:
      description: Fingerprint of the host's machine-id.
      type: str
    product_uuid:
      description: Fingerprint of the firmware's UUID; empty in a container.
      type: str
    hostname:
      description: Name of the host.
      type: str
    macs:
      description: Hardware addresses of its own interfaces.
      type: list
      elements: str
    addresses:
      description: Addresses of its own interfaces.
      type: list
      elements: str
    routes:
      description: Networks it has routes to, those of pod networks left out.
      type: list
      elements: str
    kubelet_version:
      description: Version of its kubelet when it has joined a cluster.
      type: str
    server:
      description: API server of the cluster it has joined.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hosted.kubernetes.plugins.module_utils._ansible.module import ArgumentSpec, run
from ansible_collections.hosted.kubernetes.plugins.module_utils._api.errors import InvalidError
from ansible_collections.hosted.kubernetes.plugins.module_utils._host import runtimes
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight import checks, identity
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.host_reader import HostReader
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.preflight.model import ERROR, Wanted
from ansible_collections.hosted.kubernetes.plugins.module_utils._host.tools import REQUIRED

_CTR = "/usr/local/bin/ctr"
_SOCKET = "/run/containerd/containerd.sock"

SPEC = ArgumentSpec(
    options={
        "node_name": {"type": "str", "default": ""},
        "architecture": {"type": "str", "default": ""},
        "kernel_modules": {"type": "list", "elements": "str", "default": []},
        "sysctls": {"type": "dict", "default": {}},
        "swap": {"type": "str", "choices": ["off", "keep"], "default": "off"},
        "kubelet_configuration": {"type": "dict", "default": {}},
        "systemd_cgroup": {"type": "bool", "default": True},
        "tools": {"type": "list", "elements": "str", "default": []},
        "ports": {"type": "list", "elements": "int", "default": [10248, 10249, 10250, 10256]},
        "disks": {"type": "list", "elements": "path", "default": ["/var/lib/containerd", "/var/lib/kubelet", "/usr/local/bin"]},
        "minimum_free_mb": {"type": "int", "default": 3072},
        "minimum_memory_mb": {"type": "int", "default": 900},
        "maximum_fsync_ms": {"type": "float", "default": 100},
        "connect": {"type": "list", "elements": "str", "default": []},
        "minimum_mtu": {"type": "int", "default": 1280},
        "resolve": {"type": "list", "elements": "str", "default": []},
        "api_server": {"type": "str", "default": ""},
        "ca": {"type": "str", "default": ""},
        "controller_time": {"type": "float"},
        "maximum_clock_offset": {"type": "float", "default": 240},
        "container_runtime_config": {"type": "path", "default": runtimes.CONFIG},
        "container_runtime_unit": {"type": "path", "default": runtimes.UNIT},
        "ignore": {"type": "list", "elements": "str", "default": []},
        "only": {"type": "list", "elements": "str", "default": []},
        "timeout": {"type": "float", "default": 5},
    }
)


def main_with(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    ignored = _ignored(params["ignore"], params["only"])
    reader = HostReader(params["timeout"], _CTR, _SOCKET)
    findings = checks.run(reader, _wanted(params), ignored)
    result = {
        "changed": False,
        "findings": [finding.to_json() for finding in findings],
        "errors": sum(finding.severity == ERROR for finding in findings),
    }
    return result if params["only"] else {**result, "facts": identity.read(reader)}


def _wanted(params: dict[str, Any]) -> Wanted:
    same = (
        "node_name architecture kernel_modules kubelet_configuration systemd_cgroup ports disks minimum_free_mb minimum_memory_mb "
        "maximum_fsync_ms connect minimum_mtu resolve api_server ca"
    )
    return Wanted(
        **{name: params[name] for name in same.split()},
        sysctls={name: str(value) for name, value in params["sysctls"].items()},
        swap_off=params["swap"] == "off",
        tools=[*REQUIRED, *params["tools"]],
        runtime_config=params["container_runtime_config"],
        runtime_unit=params["container_runtime_unit"],
        controller_time_s=params["controller_time"],
        maximum_clock_offset_s=params["maximum_clock_offset"],
    )


def _ignored(ignore: list[str], only: list[str]) -> set[str]:
    known = checks.names()
    unknown = sorted({*ignore, *only} - set(known))
    if unknown:
        raise InvalidError(f"no check is called {', '.join(unknown)}; there are {', '.join(known)}")
    return {*ignore, *(set(known) - set(only) if only else ())}


def main() -> None:
    run(SPEC, main_with)


if __name__ == "__main__":
    main()
