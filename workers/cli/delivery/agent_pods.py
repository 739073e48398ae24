"""The CA agent as a pod, and the objects that it writes, empty. Pure."""

from __future__ import annotations

from typing import Final

from syncer.agent.names import AGENT, AGENT_NAMESPACE, OWN_SECRET, STATUS_NAME
from syncer.agent.settings import ISTIOD_PORT
from workers.cli.delivery.edge_pods import EdgePod, documents

_POD: Final = EdgePod(
    name=AGENT,
    namespace=AGENT_NAMESPACE,
    container="ca-agent",
    command=("python", "-m", "syncer", "ca-agent"),
    replicas="  replicas: 1              # a second one does no harm and no good\n  strategy: {type: Recreate}\n",
    ready="it has looked at everything once",
    resources="            requests: {cpu: 10m, memory: 96Mi}\n            limits: {memory: 192Mi}\n",
    asks=("istiod, asked what it signs with", (ISTIOD_PORT.default,)),
)
_STATUS: Final = f"""\
# Empty: the agent says here how it fares, and the syncer tells the mesh.
apiVersion: v1
kind: ConfigMap
{_POD.metadata(STATUS_NAME)}"""


def agent_pod_manifests() -> bytes:
    """Secret, ConfigMap of the status, Deployment and NetworkPolicy, as YAML; the same everywhere."""
    secret = _POD.empty_secret(OWN_SECRET, "the agent keeps its keys here, and what it is at.")
    return documents((secret, _STATUS, _POD.deployment(), _POD.network_policy()))
