"""Finished runs into MLflow. Rule `track`."""
