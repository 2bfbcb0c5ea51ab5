"""The extension's names; one module of calls for each precision."""

from types import ModuleType

float32: ModuleType
float64: ModuleType

def instruction_sets() -> list[str]: ...
def instruction_set() -> str: ...
def use(name: str) -> None: ...
