"""The words that tell who speaks, beside names: roles, titles, and what models call the two sides."""

from __future__ import annotations

#: What people are, before or behind their names: `Buyer Jon`, `Jon, the buyer`. Other words there may speak
#: to somebody or tell of him, as in `Dear Jon`, `Guard Jon`, or `Jon, the truth`.
ROLES = (
    *("agent", "player", "participant", "speaker", "respondent", "character", "opponent", "member"),
    *("buyer", "seller", "trader", "merchant", "dealer", "bidder", "auctioneer", "vendor", "client"),
    *("customer", "farmer", "baker", "chef", "fisherman", "fisher", "hunter", "miner", "shopkeeper"),
    *("doctor", "nurse", "patient", "teacher", "student", "professor", "scientist", "engineer", "detective"),
    *("lawyer", "judge", "juror", "prosecutor", "defendant", "inspector", "officer", "soldier", "knight"),
    *("mayor", "president", "minister", "senator", "governor", "villager", "citizen", "resident", "werewolf"),
    *("neighbour", "neighbor", "landlord", "tenant", "voter", "manager", "employee", "employer", "investor"),
    *("banker", "analyst", "expert", "advisor", "moderator", "facilitator", "mediator", "negotiator"),
    *("interviewer", "interviewee", "worker"),
)
#: What stands only before names.
TITLES = (
    *("mr", "mrs", "ms", "dr", "prof", "sir", "lord", "lady", "king", "queen", "prince", "princess"),
    *("captain", "herr", "frau", "monsieur", "madame", "señor", "señora"),
)
FROM = {
    f"{what} {word}" for what in ("response", "reply", "answer", "message") for word in ("from", "by", "of")
}
ALL = {"all", "everyone", "everybody", "the group", "the others", "others", "the room"}
#: What models call themselves and whom they talk with; the latter ends an answer, behind a blank line.
MODEL, PERSON = {"assistant", "response"}, {"human", "user", "instruction"}
TURNS, NEXT_TURN = {"model", "system"}, "the next turn"
#: Who tells the story in a script.
TELLERS = {
    *("narrator", "storyteller", "voice-over", "voiceover", "announcer", "gm", "game master"),
    *("dungeon master", "erzähler", "erzählerin", "narrateur", "narratrice", "narrador"),
    *("narradora", "narratore", "verteller", "рассказчик", "оповідач", "旁白", "叙述者"),
    *("ナレーター", "내레이터"),
}
TELLER = "a narrator"
#: What a label may begin with, beside a name.
BEFORE = {*MODEL, *PERSON, *TELLERS, *TURNS, *FROM, *ROLES, *TITLES, "the "}
