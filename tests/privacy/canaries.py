"""Values of every type that the pack claims, none of a real person, in sentences and in disguise.

Check digits are right; telephone numbers are Ofcom's for drama; addresses end in example domains.
"""

from __future__ import annotations

CANARIES: dict[str, tuple[tuple[str, str], ...]] = {
    "EMAIL": (
        ("mo.farouk+gp@example.org", "Write to {} today."),
        ("Siobhán.O'Dea@surgery.example.nhs.uk", "to: {};"),
        ("info@xn--bcher-kva.example", "<{}>"),
        ("a_b-c@mail.example.co.uk", "mailto:{}?subject=hello"),
    ),
    "PHONE": (
        ("07700 900341", "mobile {}."),
        ("+44 7700 900 341", "{}"),
        ("+44 (0)20 7946 0991", "Ring {} after six"),
        ("0044 20 7946 0991", "or {}, please"),
        ("(0113) 496 0999", "landline {}"),
        ("0113-496-0999", "it is {}."),
        ("02079460991", "it is {}."),
        ("0800 1111", "Childline is {}"),
        ("+49 30 901820", "Berlin {}"),
        ("+1 (212) 555-0147", "New York {}"),
        ("212-555-0147 ext. 12", "it is {}"),
        ("496 0999", "Her phone: {}"),
        ("12 34 56 78", "Please call me back on {}."),
    ),
    "CARD": (
        ("4012888888881881", "card {} was declined"),
        ("4012 8888 8888 1881", "{}"),
        ("3782-822463-10005", "amex {}"),
        ("5555 5555 5555 4444", "pay with {} now"),
        ("6011000990139424", "no {}."),
        ("501800000009", "my card is {}"),
    ),
    "IBAN": (
        ("GB82 WEST 1234 5698 7654 32", "IBAN {}"),
        ("gb82west12345698765432", "to {}, thanks"),
        ("DE89370400440532013000", "{}"),
        ("FR14 2004 1010 0505 0001 3M02 606", "pay {} soon"),
        ("NO93 8601 1117 947", "{} is mine"),
    ),
    "NHS": (
        ("943 476 5919", "number {}"),
        ("9434765919", "patient {} arrived"),
        ("943-476-5919", "{}"),
        ("9 4 3 4 7 6 5 9 1 9", "NHS no. {}"),
        ("94347 65919", "her NHS number, {}"),
        ("943.476.5919", "NHS {}"),
        ("010101 0001", "CHI {}"),
    ),
    "NINO": (
        ("AB 12 34 56 C", "NI {}"),
        ("ab123456c", "it is {}."),
        ("JG 10 37 59 A", "{}"),
        ("CE123456", "National Insurance number {}"),
        ("QQ123456C", "NI number {}"),
    ),
    "POSTCODE": (
        ("SW1A 1AA", "near {}"), ("m1 1ae", "in {}."), ("EC1A1BB", "at {}"), ("GIR 0AA", "Bootle {}"),
        ("dn551pt", "postcode: {}"),
    ),
    "SORT_CODE": (("20-00-00", "sort code {}"), ("200000", "Sort-code: {}"), ("20 00 00", "s/c {}"),
                  ("200000", "Sort {}")),
    "ACCOUNT": (("55779911", "account {}"), ("5577 9911", "a/c no. {}"), ("55779911", "20-00-00 {}"),
                ("55779911", "20-00-00 / {}")),
    "UTR": (("1955839661", "UTR {}"), ("19558 39661", "my unique taxpayer reference is {}")),
    "PASSPORT": (("533380006", "passport {}"), ("AB1234567", "passport no. {}"), ("CD7654321", "{}")),
    "DRIVING_LICENCE": (("MORGA657054SM9IJ", "licence {}"), ("FOX99 802160 J99GE", "{}"),
                        ("98765432", "driving licence {}")),
    "VEHICLE": (
        ("BD51 SMR", "my car {}"), ("bd51smr", "{} parked"), ("M456DEF", "{}"), ("A12 BCD", "reg. {}"),
        ("AIZ 1234", "plate {}"),
    ),
    "IP": (
        ("203.0.113.77", "from {}:443"), ("2001:db8::8a2e:370:7334", "[{}]"),
        ("fe80::1%eth0", "via {}"), ("10.1.2.0/24", "net {}"),
    ),
    "URL_LOGIN": (("https://ann:s3cret@example.org/x", "{}"),
                  ("postgres://app:pa55@db.example.org:5432/app", "DSN={}")),
    "URL": (("https://portal.example.org/account/ann?id=7", "see {}."), ("www.example.org/ann", "see {}")),
    "API_KEY": (
        ("sk-test-9fQ2kLmN4pR7sT1vWxYz3AbC", "key {}"),
        ("ghp_0123456789abcdefABCDEF0123456789abcd", "{}"),
        ("AKIAIOSFODNN7EXAMPLE", "id {}"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "Bearer {}"),
        ("h7Gq2LmZ9xKd41Wv", "password = {}"),
    ),
    "DATE_OF_BIRTH": (
        ("21/08/1976", "born {}"), ("1976-08-21", "DOB: {}"), ("21st August 1976", "date of birth {}"),
        ("Aug 21, 1976", "Birthday {}"), ("21.8.76", "d.o.b. {}"),
    ),
}  # fmt: skip

CLEAN = (
    "Ticket 4680858518 was closed on 17 June 2025.",
    "Part TR-113/31 costs £4213.47, part QX-870/96 costs £8,047.48.",
    "Release 8.21.8.473 shipped; request id 0eb7a7c6-43c1-b3dc-b564-5b90aece4f94.",
    "Version 1.2.3.4 of the driver, build 10.0.0.1.",
    "The meeting is at 12:30:45, room 4012, for 150 people; 3 of 12 came in 1998.",
    "Order 12345678 has 3 items and weighs 9.5 kg.",
    "std::vector<int> a; x::y; 10:15",
    "1700000000 seconds, 4012888888881882 is no card, AB12345 is no insurance number",
    "Article 12, section 4.1.2.3 and clause 7; ISO 13616:2020; EN 60335-2-69.",
    "We may call on 2026-05-21 or text on 21/05/2026.",
    "Room B12 4th floor, M1 1st exit.",
    "The M25, the A4, B12 and E10; T20 world cup; 4K at 60 Hz.",
    "commit e145abd, sha 3f2a9c1d, colour #a1b2c3",
    "GB12ABCD is short; GB82 WEST 1234 5698 7654 33 has a wrong check digit",
    "She was reborn in 1976 and scored 21/30.",
    "Use an account manager; sort codes are six digits; passports expire.",
    "EAN 4006381333931, ISBN 978-3-16-148410-0, £1,234,567.89",
)
"""Nothing in these is anybody's: near misses, part numbers, versions, dates."""
