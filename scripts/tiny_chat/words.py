"""The words that pre-training conversations are made of: common ones, and ones made up."""

from __future__ import annotations

import random

from scripts.wordlist import listed

NOUNS = listed(
    "account actor address air airport animal answer apple arm art artist aunt baby bag ball bank "
    "basket bath beach bed bell bench bike bill bird boat body book bottle box boy branch bread "
    "bridge brother brush building bus business butter button cake camera camp card carpet cat "
    "cause center chair chance change chicken child church circle class clock cloth cloud club "
    "coat code color company cook copper corn cost cotton course cousin cow cup curtain customer "
    "dance daughter desk dinner dish doctor dog door dream dress driver dust ear earth edge egg "
    "engine evening eye face factory family farm farmer father field film finger fire fish flag "
    "floor flower foot forest fork friend fruit game garden gate gift girl glass glove goat gold "
    "grass group hair hand harbor hat head heart hill history hole home horse hospital hotel hour "
    "house idea invoice iron island job journey judge key king kitchen knife lady lake lamp land "
    "language lawyer leaf leather lesson letter level library light line lion list lock machine "
    "man map market match meal meat medicine meeting member message metal milk mind mirror moment "
    "money monkey month moon morning mother mountain mouse mouth movie museum music nail name "
    "nation neck needle nest newspaper night noise nose note number nurse ocean office oil onion "
    "opinion order page paint paper parcel parent park part partner party password path peace pen "
    "pencil people pepper phone photo piano picture piece pig pilot pipe place plan plane planet "
    "plant plate player pocket poem police pond potato power prince problem product profit queen "
    "question radio rain reason record report rice ring river road rock roof room root rope rose "
    "rule salt sand school science sea seat secret seed shade sheep shelf ship shirt shoe shop "
    "shoulder side silk silver sister size skin sky sleep smile smoke snow soap sock soil soldier "
    "son song sound soup space spoon spring square stage stamp star station steam steel stock "
    "stone store storm story stranger street string student sugar suit summer sun table tail "
    "teacher team tent test thing thread ticket time toe tool tooth top towel town toy track train "
    "travel tree trip truck uncle valley view village visit voice wall water wave weather week "
    "wheel wife wind window wine wing winter woman wood wool word worker world yard year"
)
ADJECTIVES = listed(
    "angry bad big bitter black blue bold brave bright brown busy calm cheap clean clear clever "
    "cold common cool cruel dark deep dry early easy empty equal expensive fair false fast fat "
    "fine first flat free fresh full gentle good gray great green happy hard heavy high hot hungry "
    "kind large last late lazy light little long loose loud low lucky main male modern narrow new "
    "next nice old open orange pale perfect pink plain poor pretty private proud public quick "
    "quiet rare ready red rich right ripe rough round sad safe second secret sharp short shy sick "
    "simple slow small smart smooth soft sour special strange strong sudden sweet tall thick thin "
    "tired true ugly warm weak wet white whole wide wild wise wrong yellow young"
)
# Base form, past form and past participle.
VERBS = tuple(
    tuple(line.split("/"))
    for line in listed(
        "bring/brought/brought build/built/built buy/bought/bought carry/carried/carried "
        "catch/caught/caught check/checked/checked choose/chose/chosen clean/cleaned/cleaned "
        "close/closed/closed cook/cooked/cooked copy/copied/copied count/counted/counted "
        "cover/covered/covered draw/drew/drawn drop/dropped/dropped eat/ate/eaten find/found/found "
        "fix/fixed/fixed follow/followed/followed forget/forgot/forgotten hear/heard/heard "
        "help/helped/helped hide/hid/hidden hold/held/held keep/kept/kept kick/kicked/kicked "
        "leave/left/left lift/lifted/lifted like/liked/liked lose/lost/lost love/loved/loved "
        "make/made/made mark/marked/marked miss/missed/missed move/moved/moved need/needed/needed "
        "open/opened/opened order/ordered/ordered paint/painted/painted pick/picked/picked "
        "plan/planned/planned pull/pulled/pulled push/pushed/pushed read/read/read "
        "return/returned/returned save/saved/saved see/saw/seen sell/sold/sold send/sent/sent "
        "show/showed/shown sign/signed/signed start/started/started steal/stole/stolen "
        "stop/stopped/stopped study/studied/studied take/took/taken teach/taught/taught "
        "test/tested/tested throw/threw/thrown touch/touched/touched turn/turned/turned "
        "use/used/used visit/visited/visited want/wanted/wanted wash/washed/washed "
        "watch/watched/watched wear/wore/worn win/won/won write/wrote/written"
    )
)
NAMES = listed(
    "Adam Alice Anna Anton Ben Bill Bob Carl Cora Dan David Ella Emma Eric Eva Finn Frank Fred "
    "Gina Grace Hans Harry Helen Henry Ida Iris Jack James Jane Jim Joe John Julia Kate Ken Kim "
    "Lara Laura Lily Linda Lisa Lucy Mark Mary Max Mike Mina Nick Nina Olga Oliver Otto Pat Paul "
    "Peter Rita Robert Ruth Sally Sam Simon Susan Ted Tim Tina Victor Walter Wendy Will"
)
PLACES = listed(
    "Africa America Asia Austin Bern Boston Brazil Canada Chicago China Cologne Dallas Denmark "
    "Denver Dover Egypt England Europe Finland Florence France Germany Greece Hull India Ireland "
    "Italy Japan Kenya Kiel Leeds London Malta Mexico Moscow Munich Nice Norway Oxford Paris Perth "
    "Peru Poland Portugal Rome Russia Salem Spain Sweden Texas Turkey Venice Verona York Zagreb"
)
MONTHS = listed(
    "January February March April May June July August September October November December"
)
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
NUMBERS = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
FUNCTION_WORDS = listed(
    "a about above after again all also always am an and another answer any are as ask at away "
    "back be because been before being below best better between both but by call came can "
    "category city come could customer date did do does done down each else email euro even ever "
    "every example few find for from get give go goes gone got had has have he hello help her here "
    "him his how if in into is it its just kind know least less let list live look made make many "
    "may maybe me mean more most much must my name need never no nobody none not nothing now of "
    "off often on once only or other our out over own payment per please price put query rather "
    "really request said same say see send set shall she should show since so some someone "
    "something soon status stay still such table take tell than thank that the their them then "
    "there these they think this those though through today together tomorrow too total true try "
    "two under until up us use value very want was way we well were what when where which while "
    "who whose why will wish with without word work would write years yes yesterday yet you your"
)
OPPOSITES = tuple(
    tuple(pair.split("/"))
    for pair in listed(
        "big/small hot/cold fast/slow high/low new/old good/bad rich/poor hard/soft long/short "
        "dark/light wet/dry full/empty happy/sad strong/weak thick/thin wide/narrow early/late "
        "open/closed cheap/expensive loud/quiet true/false clean/dirty deep/shallow heavy/light "
        "near/far left/right up/down in/out yes/no day/night north/south east/west summer/winter "
        "start/end first/last buy/sell give/take push/pull win/lose love/hate"
    )
)
SYNONYMS = tuple(
    tuple(pair.split("/"))
    for pair in listed(
        "large/big little/small quick/fast begin/start end/finish shut/close speak/talk look/see "
        "happy/glad smart/clever sick/ill correct/right error/mistake gift/present street/road "
        "shop/store home/house angry/mad whole/entire hard/difficult easy/simple rock/stone "
        "forest/wood boat/ship child/kid buy/purchase help/assist fix/repair repair/mend "
        "cost/price reply/answer ask/request pick/choose start/launch parcel/package "
        "phone/telephone movie/film trip/journey"
    )
)

_ONSETS = listed("b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fr gr pl qu sh st th tr")
_VOWELS = listed("a a a e e e i i o o o u u ai ea ee ia oo ou y")
_CODAS = ["", "", "", "", "", "", "", *listed("b ck d g k l m n n p r s t x nd ng rt ss st")]
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def made_up_word(rng: random.Random) -> str:
    """A lower-case word that no list holds: one to three syllables."""
    count = rng.choice((1, 2, 2, 2, 3))
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count)
    )


def code(rng: random.Random) -> str:
    """A reference of capitals and digits, such as `KX-40`."""
    letters = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(1, 3)))
    return letters + rng.choice(("", "", "-")) + digits(rng)


def digits(rng: random.Random) -> str:
    """A number of one to five digits."""
    return str(rng.randrange(10 ** rng.randint(1, 5)))


def common_word(rng: random.Random) -> str:
    """A noun, an adjective or a verb."""
    return rng.choice((*(rng.choice(NOUNS),) * 3, rng.choice(ADJECTIVES), rng.choice(VERBS)[0]))


def any_word(rng: random.Random) -> str:
    """A word of any kind, mostly lower-case: common, made up, a name or a number."""
    draw = rng.random()
    if draw < 0.5:
        return common_word(rng)
    if draw < 0.85:
        return made_up_word(rng)
    if draw < 0.93:
        return rng.choice((rng.choice(NAMES), rng.choice(PLACES), made_up_word(rng).capitalize()))
    return digits(rng) if draw < 0.97 else code(rng)


def words(rng: random.Random, low: int, high: int) -> list[str]:
    """Between `low` and `high` different words."""
    count = rng.randint(low, high)
    found: dict[str, None] = {}
    while len(found) < count:
        found[any_word(rng)] = None
    return list(found)
