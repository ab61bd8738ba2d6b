"""Keys that tell by their first characters whose they are, in a table: one row a vendor.

From the vendors' documentation and the rules of gitleaks and trufflehog, which look for the same.
Whoever is not in here has keys of letters and digits only (Cohere, Mistral, Datadog, Azure OpenAI):
those are known by what stands before them (``api_key=``, ``Authorization:``), or not at all. Keys
that are meant to be public (``pk-lf-``, ``phc_``, ``pk_live_``) are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple


class Keys(NamedTuple):
    """What the keys of a vendor look like."""

    vendor: str
    begins: str
    """What a key begins with, one or more with spaces between; no part of the secret. A character
    may be a class (``gh[pousr]_``)."""
    goes_on: str
    """A pattern of the rest; the secret is its group, or all of it."""
    stands_alone: bool = False
    """Behind a letter or a digit it is something else."""


_ALNUM: Final = "[A-Za-z0-9]"
_HEX: Final = "[0-9a-f]"
_WORD: Final = "[A-Za-z0-9_]"
_WORD_DASH: Final = "[A-Za-z0-9_-]"
_BASE64: Final = "[A-Za-z0-9+/=]"

VENDORS: Final = (
    # Models.
    Keys("OpenAI", "sk-proj- sk-svcacct- sk-service- sk-admin-", f"{_WORD_DASH}{{20,}}", True),
    Keys("OpenAI", "sk-", f"{_ALNUM}{{32,}}", True),  # DeepSeek's and others' as well
    Keys("Anthropic", "sk-ant-", f"[a-z0-9]{{2,10}}-({_WORD_DASH}{{20,}})", True),
    Keys("OpenRouter", "sk-or-v1-", f"{_ALNUM}{{20,}}", True),
    Keys("Google", "AIza", f"{_WORD_DASH}{{35}}"),
    Keys("Google", "ya29. GOCSPX-", f"{_WORD_DASH}{{20,}}"),
    Keys("Google", "AQ.Ab", f"{_WORD_DASH}{{30,}}", True),
    Keys("Hugging Face", "hf_ api_org_", f"{_ALNUM}{{30,}}", True),
    Keys("Groq", "gsk_", f"{_ALNUM}{{30,}}"),
    Keys("xAI", "xai-", f"{_WORD}{{32,}}"),
    Keys("Perplexity", "pplx-", f"{_ALNUM}{{32,}}"),
    Keys("NVIDIA", "nvapi-", f"{_WORD_DASH}{{32,}}"),
    Keys("Replicate", "r8_", f"{_WORD_DASH}{{32,}}", True),
    Keys("Together", "tgp_v1_", f"{_WORD_DASH}{{32,}}"),
    Keys("Fireworks", "fw_", f"{_ALNUM}{{20,}}", True),
    Keys("Cerebras", "csk-", f"{_ALNUM}{{32,}}", True),
    Keys("ElevenLabs", "sk_", f"{_HEX}{{40,}}", True),
    Keys("Jina", "jina_", f"{_WORD_DASH}{{40,}}"),
    Keys("LlamaCloud", "llx-", f"{_ALNUM}{{40,}}", True),
    # What agents use.
    Keys("Pinecone", "pcsk_", f"{_WORD}{{40,}}"),
    Keys("Tavily", "tvly-", "[A-Za-z0-9-]{20,}"),
    Keys("Firecrawl", "fc-", f"{_HEX}{{32,}}", True),
    Keys("E2B", "e2b_", f"{_HEX}{{32,}}"),
    Keys("Notion", "ntn_", f"{_ALNUM}{{40,}}", True),
    Keys("Linear", "lin_api_ lin_oauth_", f"{_ALNUM}{{32,}}"),
    Keys("Airtable", f"pat{_ALNUM * 14}.", f"{_HEX}{{40,}}"),
    Keys("Slack", "xox[abeoprs]- xapp-", "[A-Za-z0-9-]{15,}"),
    Keys("Slack", "hooks.slack.com/", "[a-z]{5,12}/([A-Za-z0-9/_-]{15,})"),
    Keys("Discord", f"[MNO]{_WORD_DASH * 22}.", f"{_WORD_DASH}{{6,7}}\\.{_WORD_DASH}{{27,}}"),
    Keys("Telegram", f"{'[0-9]' * 8}:", f"A{_WORD_DASH}{{34,}}"),
    Keys("Twilio", "SK", f"{_HEX}{{32,}}", True),
    Keys("SendGrid", "SG.", "[A-Za-z0-9_-]{16,64}\\.[A-Za-z0-9_-]{16,}"),
    Keys("Stripe", "[sr]k_live_ [sr]k_test_", f"{_ALNUM}{{16,}}"),
    Keys("Stripe", "whsec_", f"{_BASE64}{{24,}}"),
    Keys("Shopify", "shpat_ shpca_ shppa_ shpss_", f"{_HEX}{{32,}}"),
    # Observability.
    Keys("Langfuse", "sk-lf-", "[0-9a-f-]{32,}", True),
    Keys("LangSmith", "lsv2_pt_ lsv2_sk_ ls__", f"{_WORD}{{32,}}"),
    Keys("Logfire", "pylf_v", f"[0-9]{{1,2}}_[a-z]{{2,12}}_({_ALNUM}{{20,}})"),
    Keys("Weights & Biases", "wandb_v1_", f"{_WORD}{{40,}}"),
    Keys("Honeycomb", "hc[a-z][ilm]k_", "[A-Za-z0-9:]{32,}"),
    Keys("Grafana", "glsa_ glc_", "[A-Za-z0-9_+/=]{32,}"),
    Keys("New Relic", "NRAK- NRII-", "[A-Za-z0-9-]{20,}"),
    Keys("Sentry", "sntry[su]_", "[A-Za-z0-9_+/=]{32,}"),
    Keys("Dynatrace", "dt0[a-z]01.", "[A-Z0-9]{24}\\.[A-Z0-9]{32,}"),
    Keys("Axiom", "xa[ai]t-", "[0-9a-f-]{32,}"),
    Keys("PostHog", "phx_", f"{_WORD}{{40,}}"),
    # Clouds, and where code is.
    Keys("AWS", "AKIA ASIA", "[A-Z0-9]{16}"),
    Keys("AWS", "ABSK", f"{_BASE64}{{60,}}", True),
    Keys("AWS", "bedrock-api-key-", f"{_BASE64}{{20,}}"),
    Keys("Azure", f"{_ALNUM * 3}[0-9]Q~", "[A-Za-z0-9_~.-]{30,}"),
    Keys("Databricks", "dapi", f"{_HEX}{{32,}}"),
    Keys("DigitalOcean", "do[opr]_v1_", f"{_HEX}{{40,}}"),
    Keys("Docker", "dckr_pat_ dckr_oat_", f"{_WORD_DASH}{{20,}}"),
    Keys("GitHub", "gh[pousr]_", f"{_ALNUM}{{20,}}"),
    Keys("GitHub", "github_pat_", f"{_WORD}{{20,}}"),
    Keys("GitLab", "glpat- glptt- gloas- glcbt- gldt- glrt- glft-", "[A-Za-z0-9_.-]{20,}"),
    Keys("HashiCorp", "hv[bsr].", f"{_WORD_DASH}{{24,}}"),
    Keys("HashiCorp", ".atlasv1.", "[A-Za-z0-9_=-]{32,}"),
    Keys("Heroku", "HRKU-", f"{_WORD_DASH}{{32,}}"),
    Keys("npm", "npm_", f"{_ALNUM}{{30,}}"),
    Keys("PyPI", "pypi-AgEI", f"{_WORD_DASH}{{16,}}"),
    Keys("RubyGems", "rubygems_", f"{_HEX}{{32,}}"),
    Keys("PlanetScale", "pscale_tkn_ pscale_oauth_ pscale_pw_", "[A-Za-z0-9_=.-]{32,}"),
    Keys("Supabase", "sbp_", f"{_HEX}{{40,}}"),
    Keys("Supabase", "sb_secret_", f"{_WORD_DASH}{{20,}}"),
    Keys("Pulumi", "pul-", f"{_HEX}{{40,}}", True),
    Keys("Prefect", "pnu_ pnb_", f"{_ALNUM}{{30,}}", True),
    Keys("Postman", "PMAK-", "[A-Za-z0-9-]{40,}"),
    Keys("Doppler", "dp.pt. dp.st. dp.ct. dp.sa.", "[A-Za-z0-9_.-]{40,}"),
    Keys("Tailscale", "tskey-", "[a-z]{3,8}-([A-Za-z0-9-]{16,})"),
    Keys("1Password", "ops_eyJ", f"{_BASE64}{{40,}}", True),
    Keys("age", "AGE-SECRET-KEY-1", "[A-Z0-9]{50,}"),
)

_RARE: Final = "_-.~:/zKS"
"""Characters of which most beginnings have one, and that are seldom in most texts."""
UNMARKED: Final = "dapi"
"""The one beginning that has none."""
_GATES: Final = {
    "_": "(?=[A-Za-z0-9_+/=:.-]{16})",
    "-": "(?=[A-Za-z0-9_+/=.-]{15})",
    ".": "(?=[A-Za-z0-9_=.-]{16})",
}
"""What has to follow a character that names and words are joined with, before it is looked at."""
_BEFORE: Final = re.compile(r"(\[[^\]]*\]|.).\Z")


def patterns() -> list[str]:
    """Return the patterns of all keys, one for each character that they are looked for by.

    A pattern begins with that character, and looks back from there (see `secret_shapes`); of those
    `UNMARKED` it begins with the beginning.
    """
    alike: dict[str, dict[str, dict[str, list[str]]]] = {}
    unmarked: list[str] = []
    for keys in VENDORS:
        group = keys.goes_on if "(" in keys.goes_on else f"({keys.goes_on})"
        for begin in keys.begins.split():
            place = max(map(begin.rfind, _RARE)) + 1
            head, tail = begin[:place].replace(".", r"\."), begin[place:].replace(".", r"\.")
            if not head:
                unmarked.append(f"{tail}{group}")
                continue
            alone = rf"(?<![A-Za-z0-9]{head})" if keys.stands_alone else ""
            (before,) = _BEFORE.findall(begin[:place])
            rests = alike.setdefault(begin[place - 1], {}).setdefault(before, {})
            rests.setdefault(f"{tail}{group}", []).append(f"(?<={head}){alone}")
    return [*(_pattern(rare, of_one) for rare, of_one in alike.items()), *unmarked]


def _pattern(rare: str, alike: dict[str, dict[str, list[str]]]) -> str:
    """Return the pattern for a character, behind others, behind the rest of what a key begins with.

    PERF: asked for one by one, the beginnings took 0.5 µs for each dash in a text.
    """
    sign = rare.replace(".", r"\.")
    places = [
        f"(?<={before}{sign})" + _any(f"{_any(behind)}{rest}" for rest, behind in rests.items())
        for before, rests in alike.items()
    ]
    befores = "".join(sorted((one.strip("[]") for one in alike), key=len))  # a dash comes last
    return f"{sign}{_GATES.get(rare, '')}(?<=[{befores}]{sign}){_any(places)}"


def _any(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(patterns)})"
