"""FailureBench: four Meta-World tasks of the Sawyer with a constraint that a person would not want broken (FARL)."""
