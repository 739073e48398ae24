"""What a CA agent may do in its cluster: its own three objects, `cacerts`, and a look at what istiod shows.

Pure. RBAC can't say which name may be created, so an admission policy does.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import Template
from typing import Final

from syncer.agent.names import AGENT, AGENT_NAMESPACE, CACERTS, COMMITTED, CRLS_CONFIG, OWN_SECRET, STATUS_NAME
from syncer.cluster.objects import ROOTS_CONFIG
from syncer.cluster.resources import ISTIO_SYSTEM, Right
from workers.cli.delivery.roles import Account, account_manifests
from workers.documents.writing import dump

ACCOUNT: Final = Account(name=AGENT, namespace=AGENT_NAMESPACE)
_POLICY: Final = Template("""\
---
# RBAC can't limit what is created to a name. Without this the agent could make any Secret in $istio, also one that is
# filled with the token of another service account. The policy speaks of the agent alone, and of everything that it
# creates: whoever takes rights.yaml without it gives the agent more than it needs. Kubernetes 1.30 and newer.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: $name
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: ["*"], operations: [CREATE], resources: [secrets]}
  matchConditions:
    - name: the-agent
      expression: request.userInfo.username == "system:serviceaccount:$namespace:$name"
  validations:
    - expression: >-
        request.namespace == "$istio" && object.metadata.name == "$cacerts" && object.type == "Opaque"
      message: the CA agent creates Secret $istio/$cacerts of type Opaque, and no other
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: $name
  labels: {app.kubernetes.io/name: $name, app.kubernetes.io/part-of: peermesh}
spec:
  policyName: $name
  validationActions: [Deny]
""")


def agent_rights() -> tuple[Right, ...]:
    """All of them."""

    def named(namespace: str, resource: str, names: tuple[str, ...], *verbs: str) -> Right:
        return Right(namespace=namespace, group="", resource=resource, verbs=verbs, names=names)

    return (
        named(AGENT_NAMESPACE, "secrets", (OWN_SECRET,), "get", "update"),
        named(AGENT_NAMESPACE, "configmaps", (STATUS_NAME,), "get", "update"),
        named(AGENT_NAMESPACE, "configmaps", (COMMITTED,), "get"),
        named(ISTIO_SYSTEM, "secrets", (CACERTS,), "get", "update"),
        named(ISTIO_SYSTEM, "secrets", (), "create"),
        named(ISTIO_SYSTEM, "configmaps", (ROOTS_CONFIG, CRLS_CONFIG), "get"),
        named(ISTIO_SYSTEM, "pods", (), "list"),
    )


def agent_rights_manifests(granted: Iterable[Right] | None = None) -> bytes:
    """The service account with its Roles, and the policy, as YAML."""
    roles = dump(account_manifests(ACCOUNT, agent_rights() if granted is None else granted))
    policy = _POLICY.substitute(name=AGENT, namespace=AGENT_NAMESPACE, istio=ISTIO_SYSTEM, cacerts=CACERTS)
    return roles + policy.encode()
