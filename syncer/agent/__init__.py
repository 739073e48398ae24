"""The CA agent: makes the key of its cluster's intermediate, asks for the certificate, and puts it into `cacerts`.

It runs in the cluster and keeps what it makes in the cluster's Secrets. It must not know Git, or when a step is due for
the whole mesh: it is told by a ConfigMap, and holds what it is told against what it sees.
"""
