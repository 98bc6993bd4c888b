"""The likely causes of rejections, loaded after the first one: open diagnose first."""
