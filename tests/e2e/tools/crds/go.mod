module peermesh.io/e2e/crds

go 1.26.0

require (
	istio.io/api v1.31.0
	sigs.k8s.io/mcs-api v0.5.2
)
