import pytest
from transformers import PreTrainedTokenizerBase

from leakscope.errors import InputError
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.rendering import answer_lead, encode_continuations, encode_rendered, render_prompt

NO_SYSTEM_ROLE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<model>"
)
DROPS_SYSTEM = "{% for m in messages if m['role'] != 'system' %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<model>"
WITH_OPTION = "{% if shout %}LOUD {% endif %}{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.fixture
def tokenizer(micro_model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> PreTrainedTokenizerBase:
    monkeypatch.setattr(micro_model.tokenizer, "chat_template", micro_model.tokenizer.chat_template)
    return micro_model.tokenizer


def test_a_prompt_goes_through_the_chat_template(tokenizer: PreTrainedTokenizerBase) -> None:
    rendered = render_prompt(tokenizer, "The car is", template="Go on: {prompt}", system="Be brief.", chat=True)
    assert rendered == "<|system|> Be brief.<|end|><|user|> Go on: The car is<|end|><|assistant|>"


def test_other_braces_of_the_template_are_literal(tokenizer: PreTrainedTokenizerBase) -> None:
    rendered = render_prompt(
        tokenizer, "It is", template="{prompt} {your_answer}\nYour answer:", system=None, chat=False
    )
    assert rendered == "It is {your_answer}\nYour answer:"


@pytest.mark.parametrize("template", [NO_SYSTEM_ROLE, DROPS_SYSTEM])
def test_a_template_without_a_system_role_gets_it_in_the_user_turn(
    tokenizer: PreTrainedTokenizerBase, template: str
) -> None:
    tokenizer.chat_template = template
    rendered = render_prompt(tokenizer, "It is", template="{prompt}", system="Be brief.", chat=True)
    assert rendered == "<user>Be brief.\n\nIt is<model>"


def test_chat_template_options_reach_the_template(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = WITH_OPTION
    options = {"shout": True}
    rendered = render_prompt(
        tokenizer, "It is", template="{prompt}", system=None, chat=True, chat_template_kwargs=options
    )
    assert rendered == "LOUD It is"


def test_a_model_without_chat_template_says_what_to_set(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="set `chat: false`"):
        render_prompt(tokenizer, "It is", template="{prompt}", system=None, chat=True)


def test_plain_text_puts_the_system_message_before(tokenizer: PreTrainedTokenizerBase) -> None:
    assert render_prompt(tokenizer, "It is", template="{prompt}", system="Brief.", chat=False) == "Brief.\nIt is"


def test_chat_text_gets_no_second_set_of_special_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    from tokenizers.processors import TemplateProcessing

    end = tokenizer.convert_tokens_to_ids("<|end|>")
    before = tokenizer.backend_tokenizer.post_processor
    try:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|end|> $A", special_tokens=[("<|end|>", end)]
        )
        assert encode_rendered(tokenizer, "It is", chat=False)[0] == end
        assert encode_rendered(tokenizer, "It is", chat=True)[0] != end
    finally:
        tokenizer.backend_tokenizer.post_processor = before or TemplateProcessing(single="$A", special_tokens=[])


def test_a_continuation_is_what_it_adds_to_the_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    rendered = render_prompt(tokenizer, "The fruit is", template="{prompt}", system=None, chat=True)
    for chat, text in ((True, rendered), (False, "The fruit is")):
        ids = encode_rendered(tokenizer, text, chat=chat)
        lead = " " if chat else answer_lead(tokenizer, chat=False)
        added = encode_continuations(tokenizer, text, ids, ["a lime.", "a plum."], lead=lead, chat=chat)
        assert [tokenizer.decode(tokens) for tokens in added] == [" a lime.", " a plum."]


@pytest.mark.parametrize(
    ("template", "lead"),
    [
        ("{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}{% endfor %}"
         "{% if add_generation_prompt %}[assistant]\n{% endif %}", ""),
        ("{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
         "{% if add_generation_prompt %}[assistant]{% endif %}", " "),
        ("{% for m in messages %}[{{ m['role'] }}]{% if m['role'] == 'assistant' %}<think></think>{% endif %}"
         "{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}", ""),
    ],
)  # fmt: skip
def test_the_space_before_an_answer_is_the_chat_templates_own(
    tokenizer: PreTrainedTokenizerBase, template: str, lead: str
) -> None:
    tokenizer.chat_template = template
    assert answer_lead(tokenizer, chat=True) == lead
