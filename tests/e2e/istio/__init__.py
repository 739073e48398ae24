"""Real Istio meshes on one machine: API servers, istiods, agents with Envoys as processes, pods as network namespaces.

What the settings of istiod and agents are for stands beside them; nothing here knows what peermesh would do.
"""
