"""The admin site: the desk, the navigation, the pages and the parts they are drawn with."""
