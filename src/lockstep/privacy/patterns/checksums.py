"""Check digits. Each takes the value without separators, in capitals."""

from __future__ import annotations

from operator import mul

__all__ = ["luhn", "mod_97", "nhs", "utr"]

NHS_WEIGHTS = range(10, 1, -1)
UTR_WEIGHTS = (6, 7, 8, 9, 10, 5, 4, 3, 2)
UTR_DIGITS = "21987654321"
DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        total += DOUBLED[int(digit)] if position % 2 else int(digit)
    return total % 10 == 0


def mod_97(iban: str) -> bool:
    """ISO 13616: the first four characters to the end, letters as 10 to 35, remainder 1."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def nhs(digits: str) -> bool:
    """NHS number and CHI number: weights 10 to 2, modulus 11; a check digit of 10 is never issued."""
    total = sum(map(mul, NHS_WEIGHTS, map(int, digits)))
    return (11 - total % 11) % 11 == int(digits[9]) and len(set(digits)) > 1


def utr(digits: str) -> bool:
    """Unique Taxpayer Reference: the first digit checks the nine that follow."""
    total = sum(weight * int(digit) for weight, digit in zip(UTR_WEIGHTS, digits[1:10], strict=True))
    return digits[0] == UTR_DIGITS[total % 11]
