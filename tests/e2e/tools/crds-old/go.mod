module peermesh.io/e2e/crds-old

go 1.26.0

// The ServiceExport that only knows v1alpha1.
require sigs.k8s.io/mcs-api v0.2.0
