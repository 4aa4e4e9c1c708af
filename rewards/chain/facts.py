"""One field of a deployment, as it should be and as the chain has it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    field: str
    expected: str
    observed: str

    @property
    def agrees(self) -> bool:
        return self.expected == self.observed

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, observed {self.observed}"
