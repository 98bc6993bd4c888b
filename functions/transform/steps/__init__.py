"""The built-in steps: each module is a family, and each class in it that is Settings and a Step is one of them."""
