"""What ``pipeline predict`` is made of: kept models, clips, features, typed labels."""
