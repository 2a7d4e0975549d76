"""The pod place: the same steps as Kubernetes pods. Imported only when a compute profile asks for a pod."""
