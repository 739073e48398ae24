module peermesh.io/e2e/verify

go 1.26.0
