"""The CA agent of a cluster whose certificates are managed: `delivery/clusters/<cluster>/ca-agent/`, and
`deploy/ca-agent/`, which has the same.

Pure: documents in, files out.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Final

from syncer.agent.names import AGENT, AGENT_NAMESPACE, CACERTS, OWN_SECRET, SELF_SIGNED
from syncer.agent.settings import ADOPT, TRUST_DOMAIN
from syncer.cluster.resources import ISTIO_SYSTEM
from syncer.settings import CLUSTER, ISTIO_NAMESPACE, LISTEN, MESH
from workers.cli.delivery.agent_pods import agent_pod_manifests
from workers.cli.delivery.agent_rights import ACCOUNT, agent_rights_manifests
from workers.cli.delivery.edge_pods import PORT
from workers.documents.kinds import Cluster, Mesh
from workers.documents.writing import dump

_README: Final = Template("""\
# The CA agent of cluster $cluster

It makes the key of the intermediate that istiod of $cluster signs with, asks the mesh for the certificate, and puts
what is committed into Secret `$istio/$cacerts`. The key never leaves the cluster. Yours to edit.

| file | what it is |
|---|---|
| `rights.yaml` | what the agent may do, and the admission policy that lets it create `$cacerts` and no other Secret |
| `settings.yaml` | what the agent is told, as its environment |
| `agent.yaml` | the agent: one replica, with the Secret that it keeps its keys in |

`kubectl` stands for one that reaches cluster $cluster, whose syncer runs (`..`): they share Secret `peermesh-broker`.

1. Start it. The policy comes first, so that there is no moment without it.

   ```
   kubectl apply -f delivery/clusters/$cluster/ca-agent/rights.yaml
   kubectl apply -f delivery/clusters/$cluster/ca-agent/
   kubectl -n $system rollout status deployment/$agent
   ```

   It shows `deployment "$agent" successfully rolled out`: it has looked at everything once.
   If it waits, `kubectl -n $system logs deployment/$agent` says what for.

2. Let the mesh trust the key that it signs its requests with, which it made and logs.

   ```
   kubectl -n $system logs deployment/$agent | grep signs
   peermesh ca manage $cluster --agent-key KEY
   ```

   When that is on main, and sync unit `ca` of $cluster is applied, `peermesh ca status` shows what it waits for.

Keep Secret `$own_secret`: it holds the key of a certificate that is asked for, and what stood in `$cacerts` before.
Where it is lost, `$cacerts` goes on, the agent makes a new key, which `peermesh ca manage` must trust, and another
rotation is ordered with `peermesh ca request-rotation $cluster`.
Never let a reconciler prune `$cacerts`: an istiod that starts without it makes a root of its own, and every peer
refuses its workloads.
Where Istio's control plane isn't in `$istio`, change `rights.yaml`, and set `$istio_setting` in `settings.yaml`.
Where istiod made its own root and shall go on with it for a while, give the agent the right to `get` Secret
`$self_signed` and set `$adopt` to `yes`; when it has written `$cacerts`, restart istiod.
""")
_KUSTOMIZATION: Final = """\
# The CA agent of one cluster, beside its syncer. Say in an overlay which one it is: README.md.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
sortOptions: {order: fifo}      # the policy before the Deployment that it holds for
resources:
"""


def agent_files(mesh: Mesh, cluster: Cluster) -> Mapping[str, bytes]:
    """The files by path; none where the certificates aren't managed, or come in another way than by request."""
    trust = cluster.spec.trust
    if trust is None or trust.delivery != "request":
        return {}
    environment = {
        MESH.name: mesh.metadata.name,
        CLUSTER.name: cluster.name,
        TRUST_DOMAIN.name: cluster.spec.trust_domain,
    }
    folder = f"delivery/clusters/{cluster.name}/ca-agent"
    files = {"README.md": _readme(cluster.name).encode(), **_manifests(environment)}
    return {f"{folder}/{name}": data for name, data in files.items()}


def agent_base() -> Mapping[str, bytes]:
    """The same manifests for a cluster that isn't known yet, as a base of Kustomize: by the name of the file."""
    files = _manifests({})
    return files | {"kustomization.yaml": (_KUSTOMIZATION + "".join(f"  - {name}\n" for name in files)).encode()}


def _manifests(environment: Mapping[str, str]) -> dict[str, bytes]:
    told = {**environment, LISTEN.name: f"0.0.0.0:{PORT}"}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": ACCOUNT.metadata(AGENT_NAMESPACE), "data": told}
    return {
        "rights.yaml": agent_rights_manifests(),
        "settings.yaml": dump([settings]),
        "agent.yaml": agent_pod_manifests(),
    }


def _readme(cluster: str) -> str:
    return _README.substitute(
        cluster=cluster,
        agent=AGENT,
        system=AGENT_NAMESPACE,
        istio=ISTIO_SYSTEM,
        cacerts=CACERTS,
        own_secret=OWN_SECRET,
        self_signed=SELF_SIGNED,
        adopt=ADOPT.name,
        istio_setting=ISTIO_NAMESPACE.name,
    )
