"""Where the 256 tests of a descriptor compare the brightness around a corner.

benchmarks/copies/descriptor_tests.py chose them: 8,723 were drawn with a standard deviation of a fifth of the
patch, as for BRIEF (Calonder et al., 2010). Of those that come out either way in 30 to 70 of 100 cases, on
corners of 85 photos of clothes and drawings, the ones were kept, the most even first, that correlate by less
than 0.5 with every one kept before (ORB, section 4.3; Rublee et al., 2011). Without that, other pictures
match nearly as well as copies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TESTS = 256
_DIGITS = (
    "h7hkceacipi6mgodeneedabsbdal6k9j5cafbl8oacaahnhr7iagomobf8fniiifm9med8ehl8kiiric4g9hn5oqgbgkch8o"
    "mioldfa5limdmao7khmqppndead6iejbhcg5mko87abimnm96h5bc9cnlmke4e8dkak8cka9ihikcseo8e8cd5dqpjqh7i8d"
    "8n9ahphkpfqcae6m7f4jrjsf8ebff9frpbqgam77ftgfdaecq8oeb5dkcldjpqol4f4ikoklohsigggc97bapnnjjljb6c7m"
    "afbhdpem9g9ckmji5b6dnfnhlslnj6k4qipg9i8gg5g8mnmiokqkonqjjejgo9se7h9k6fbdeadkblcgmfqeccdhnapatfpf"
    "7c8aj8kqfoftfjenm5n89ibikqm6rdnhckco6b99dfcrlfpkoprdj3jlmbpmmdogdjcfrkp7bldklhof5ecjjgkd7n6kg9hd"
    "k4himals8a5gccc98da6k9jdkdlgliqj8m9pahce7kblkcj9odna9acbaece8jdgj4kfm8jn9n5kmmkjjmmql6pi8g9q6acm"
    "bbbgncm6f7c4kglihbgoj6ladnboialnkdoblmqbdsgca989djdlf8ebdhcjlloijgo9fccnf7hqfldnkbnecideisjqiokd"
    "sgmkcodrh8febk9ic99lancofodaqmnnnnl5qdmcgqeshogcn7k9likk9ddgfsd5bb9da8dslkko4fcplqhfef4fkhjjdeec"
    "hlk6rjnrfheeee7abpe7ksokjhngeb7pdcfdknonhnjpipknkemgbq5mc6gmk6o8j5h8goifetdb8qeja8d8jkmffkhtfad9"
    "gah8gphodmaefeaqc589kspaajd6scl7diaic66osjkccoamfjggjdhia6fnflbbg7j9lkijilhnc6f5ibkfilfgqojk5id9"
    "nkkkjclcf5dlgskjicpoe5h7kchfa5gih6endabcimfjbshmfdbbbbf5ef9gjtfr"
)
"""x and y of both places of each test, a digit to the base of 32 each; 16 pixels are added."""


def test_places() -> NDArray[np.int64]:
    """Return x and y of the first place of each test and then of the second, in pixels from the corner (512,
    2), clockwise with y downwards."""
    numbers = np.array([int(digit, 32) - 16 for digit in _DIGITS], np.int64).reshape(TESTS, 2, 2)
    return numbers.transpose(1, 0, 2).reshape(-1, 2)
