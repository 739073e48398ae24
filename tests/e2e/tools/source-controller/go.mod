module peermesh.io/e2e/source-controller

go 1.26.0

require github.com/fluxcd/source-controller v1.9.6

// Flux's own replacements: those of a dependency don't apply here.
replace github.com/opencontainers/go-digest => github.com/opencontainers/go-digest v1.0.1-0.20220411205349-bde1400a84be

// The v0.18.3 that it asks for isn't served by the module proxy.
replace github.com/fluxcd/pkg/artifact => github.com/fluxcd/pkg/artifact v0.18.0
