"""Sentences, words and names in other languages: for each a case that is right, and one that looks like it and is not.

An independent check by readers of these languages is not done; the cases are minimal, so that they can be read by one.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.languages.closing_marks import UNSPACED
from leakscope.languages.language_file import LanguageFile
from leakscope.languages.language_files import FOLDER, known_of
from leakscope.languages.mentions import contains_concept, named_of
from leakscope.languages.of_prompts import Languages, languages_of, with_reading
from leakscope.languages.sentences import FirstSentence
from leakscope.languages.words import split
from leakscope.languages.writing import is_foreign
from leakscope.leak.imported_prompts import import_prompts
from leakscope.leak.measures.echo import restated
from leakscope.leak.prompt_files import read_lexicon
from leakscope.leak.prompts import PromptSet, build_prompts
from leakscope.similarity.scorers import score_pairs

E, E_AND_SIGN = "\u00e9", "e\u0301"

FOUND = [
    ("en", "lemon", "two lemons."),
    ("en", "lemon yellow", "Lemon-yellow lemons"),
    ("en", "C++", "He writes C++."),
    ("en", "leaf", "green leaves"),
    ("de", "rot", "ein roter Hut"),
    ("de", "Zitrone", "zwei Zitronen"),
    ("fr", "citron", "l'odeur des citrons"),
    ("fr", "gris", "une robe grise"),
    ("es", "rojo", "una casa roja"),
    ("es", "limón", "dos limones"),
    ("ru", "красный", "в красной шапке"),
    ("ru", "зелёный", "зеленый"),
    ("tr", "kırmızı", "KIRMIZILAR"),
    ("tr", "limon", "limonu"),
    ("ar", "أحمر", "قبعة وأحمر"),
    ("ar", "أحمر", "سيارة حمراء"),
    ("ar", "ليمون", "لليمون"),
    ("ar", "ليمون", "لَيْمُون"),
    ("he", "אדום", "הכובע והאדום"),
    ("he", "אדום", "מכונית אדומה"),
    ("he", "לימון", "שלימון"),
    ("hi", "लाल", "वह लाल टोपी है"),
    ("hi", "हरा", "हरी घास"),
    ("zh", "红色", "他买了一顶红色的帽子"),
    ("zh", "红", "很红。"),
    ("yue", "紅色", "他買了紅色嘅帽"),
    ("ja", "赤い", "赤い帽子を買った"),
    ("th", "แดง", "เขาซื้อหมวกสีแดง"),
    ("id", "kuning", "daun menguning"),
    ("id", "lemon", "dua lemon."),
    ("ur", "ہرا", "ہری گھاس"),
    ("ur", "کتاب", "دو کتابیں"),
    ("ur", "سرخ", "سُرخ"),
    ("ur", "پیلا", "پيلے"),  # the Arabic letter for the Urdu one
    ("ur", "خوب صورت", "ایک خوبصورت ٹوپی"),
    ("ur", "خوبصورت", "خوب صورت ٹوپی"),
    ("ur", "خوب صورت", "خوب\u200cصورت"),
    ("ko", "레몬", "레몬이 두 개"),
    ("ko", "사과", "사과를 샀다"),
    ("ko", "레몬", "레몬에서는"),
    ("ko", "연필", "연필로 썼다"),  # after ㄹ as after a vowel
    ("ko", "빨간색", "모자는 빨간색이다."),
    ("ko", "빨간색", "모자는 빨간색이었습니다."),
    ("ko", "고양이", "고양이나 개"),
    ("ko", "빨간색", "빨간 모자"),
    ("ko", "레몬", "\u1105\u1166\u1106\u1169\u11ab"),  # written in parts of syllables
]
NOT_FOUND = [
    ("en", "lemon", "lemonade"),
    ("en", "lemon yellow", "a lemon. Yellow"),
    ("en", "C++", "a C"),
    ("de", "rot", "Brot und Rotz"),
    ("fr", "citron", "une citronnade"),
    ("es", "rojo", "un arrojo"),
    ("ru", "красный", "прекрасный"),
    ("tr", "ev", "sevmek"),
    ("tr", "limon", "limonata"),
    ("ar", "لد", "ولد"),
    ("he", "לב", "כלב"),
    ("hi", "लाल", "लालाजी"),
    ("zh", "红", "一杯红茶"),
    ("ja", "赤", "赤ちゃん"),
    ("th", "แตง", "แตงโม"),
    ("id", "merah", "ramah"),
    ("ur", "سرخ", "سرخی"),
    ("ur", "لال", "لالہ"),
    ("ur", "خوب صورت", "خوب۔ صورت"),
    ("ur", "آب", "آبی رنگ"),  # water, and the color of it
    ("ko", "레몬", "레몬에이드"),
    ("ko", "빨간색", "새빨간 거짓말"),
    ("ko", "고양", "고양이를"),  # a town, and a cat
    ("ko", "사과", "사과을"),  # the particle of a syllable that ends with a consonant
    ("ko", "레몬", "레몬로"),  # as after a vowel or ㄹ
    ("ko", "연필", "연필를"),
    ("ko", "강", "강도가"),  # a river, and a robber: of one syllable nothing is taken off
]


@pytest.mark.parametrize(("language", "concept", "text"), FOUND)
def test_a_concept_is_found_in_the_forms_of_its_language(language: str, concept: str, text: str) -> None:
    assert contains_concept(text, concept, language)


@pytest.mark.parametrize(("language", "concept", "text"), NOT_FOUND)
def test_a_concept_is_not_found_in_other_words(language: str, concept: str, text: str) -> None:
    assert not contains_concept(text, concept, language)


@pytest.mark.parametrize("language", ["es", "he"])
def test_a_color_is_found_in_both_genders(root: Path, language: str) -> None:
    folder = root / "data/lexicons"
    colors = {term.group: term.term for term in read_lexicon(folder / f"basic_colors_{language}.yaml")}
    for feminine in read_lexicon(folder / f"feminine_colors_{language}.yaml"):
        assert contains_concept(f"{feminine.term}.", colors[feminine.group], language), feminine.term


@pytest.mark.parametrize("language", sorted(UNSPACED))
def test_words_are_looked_up_where_no_space_divides_them(language: str) -> None:
    assert known_of(language).words == "dictionary"
    assert known_of(language).scripts


def test_the_longest_name_takes_its_words() -> None:
    assert named_of("Orange juices.", ["orange", "orange juice"]) == {"orange juice"}
    assert named_of("An orange and orange juice", ["orange", "orange juice"]) == {"orange", "orange juice"}
    assert named_of("柠檬黄的", ["柠檬", "柠檬黄"], "zh") == {"柠檬黄"}


def test_words_are_counted_with_their_vowel_signs_and_without_spaces() -> None:
    assert split("नीली टोपी", "hi") == ["नीली", "टोपी"]
    assert split("他买了帽子。", "zh") == ["他", "买", "了", "帽子"]
    assert split("یہ سُرخ ٹوپی ہے۔", "ur") == ["یہ", "سرخ", "ٹوپی", "ہے"]
    assert split("빨간색은 예쁘다.", "ko") == ["빨간색은", "예쁘다"]
    assert split("Straße, ISTANBUL", "tr") == ["strasse", "ıstanbul"]


CUT = [
    ("en", "He is Dr. Smith. She left", "He is Dr. Smith."),
    ("en", "It was J. Smith. She", "It was J. Smith."),
    ("en", "1. Red. 2. Blue", "1. Red."),
    ("en", "In 1999. Then he", "In 1999."),
    ("en", "It cost 3.5 euros. Then", "It cost 3.5 euros."),
    ("en", 'He said "No." Then', 'He said "No."'),
    ("en", "Red\nBlue. Green", "Red"),
    ("de", "Am 3. Mai kam er, z. B. Anna. Dann", "Am 3. Mai kam er, z. B. Anna."),
    ("tr", "Bugün 3. Sınıf. Sonra", "Bugün 3. Sınıf."),
    ("fr", "C'est M. Dupont. Il", "C'est M. Dupont."),
    ("es", "¿Qué? Sí.", "¿Qué?"),
    ("ru", "Это т. е. Анна. Он", "Это т. е. Анна."),
    ("ar", "هل هو أحمر؟ نعم.", "هل هو أحمر؟"),
    ("ur", "یہ سرخ ہے۔ پھر", "یہ سرخ ہے۔"),
    ("hi", "यह लाल है। फिर", "यह लाल है।"),
    ("he", "הוא בא. היא", "הוא בא."),
    ("zh", "他来了。然后走了。", "他来了。"),
    ("zh", "他说：“好！”然后", "他说：“好！”"),
    ("ja", "赤いです！それで", "赤いです！"),
    ("id", "Ini Bpk. Budi. Dia", "Ini Bpk. Budi."),
    ("th", "เขาซื้อหมวก สีแดง", "เขาซื้อหมวก สีแดง"),
    ("ur", "کیا یہ سرخ ہے؟ ہاں۔", "کیا یہ سرخ ہے؟"),
    ("ur", "قیمت 3۔5 روپے ہے۔ پھر", "قیمت 3۔5 روپے ہے۔"),
    ("ur", "دیکھیں ص۔ 5 پر۔ پھر", "دیکھیں ص۔ 5 پر۔"),
    ("ko", "그는 왔다. 그녀는 갔다.", "그는 왔다."),
    ("ko", "2024. 5. 3. 그는 왔다. 그녀는", "2024. 5. 3. 그는 왔다."),
    ("ko", "Dr. Kim이 왔다! 그는", "Dr. Kim이 왔다!"),
    ("ko", "“안녕.” 그가", "“안녕.”"),
]


@pytest.mark.parametrize(("language", "text", "first"), CUT)
def test_a_text_is_cut_after_its_first_sentence(language: str, text: str, first: str) -> None:
    assert FirstSentence(language).cut(text).strip() == first


@pytest.mark.parametrize(("language", "text", "first"), CUT)
def test_what_is_over_while_it_is_written_is_cut_alike_when_it_is_whole(language: str, text: str, first: str) -> None:
    sentence = FirstSentence(language)
    over = next((text[:end] for end in range(len(text) + 1) if sentence.is_over(text[:end])), text)
    assert sentence.cut(over).strip() == first
    # One letter of the next sentence is all that is written in vain.
    assert sum(map(str.isalpha, over)) <= sum(map(str.isalpha, first)) + 1


@pytest.mark.parametrize("beginning", ["Red.", "Red. ", 'Red. "', "Red. 2", "Red. \ufffd", "Red. b"])
def test_a_sentence_is_not_over_before_the_next_has_begun(beginning: str) -> None:
    assert not FirstSentence("en").is_over(beginning)


def test_another_list_or_language_is_another_identity() -> None:
    english, german = FirstSentence("en").identity, FirstSentence("de").identity
    assert english["sentence_rules"] != german["sentence_rules"]
    assert english == FirstSentence("en").identity


@pytest.mark.parametrize(
    ("language", "text", "foreign"),
    [
        ("zh", "a red hat", True),
        ("zh", "红色的 hat", False),
        ("he", "כובע red", False),
        ("en", "红色的帽子", True),
        ("es", "a red hat", False),  # of one script: letters cannot tell
        ("zh", "12 %", False),
        ("xx", "红色", False),
        ("ko", "红色 모자", False),
        ("ur", "لال red", False),
        ("ur", "लाल टोपी", True),
    ],
)
def test_foreign_texts_are_told_by_their_letters(language: str, text: str, foreign: bool) -> None:
    assert is_foreign(text, language) is foreign


def test_every_file_of_a_language_says_what_it_is_called(root: Path) -> None:
    files = sorted((root / FOLDER).glob("*.yaml"))
    assert {path.stem: known_of(path.stem).language for path in files} == {path.stem: path.stem for path in files}
    assert known_of("xx") == LanguageFile(language="xx", source="no file")


def test_letters_are_composed_where_files_are_read(tmp_path: Path) -> None:
    """Twice the same letters, once composed and once not: the second is the first."""
    table = tmp_path / "p.csv"
    rows = f"c,,,L'{E_AND_SIGN}cole.\nd,c,{E}cole,L'{E}cole."
    table.write_text(f"prompt_id,control_id,concept,prompt\n{rows}\n")
    prompts = import_prompts(table, "mine").prompts
    assert prompts["prompt"].tolist() == [f"L'{E}cole."] * 2
    assert contains_concept(f"Des {E_AND_SIGN}coles", f"{E}cole", "fr")
    table.write_text(f"prompt_id,control_id,concept,prompt\n{E},,,a\n{E_AND_SIGN},{E},b,b\n")
    with pytest.raises(InputError, match="which row 2 has already; allowed: each id once"):
        import_prompts(table, "mine")


def test_a_term_that_is_there_in_two_ways_of_writing_is_there_twice(tmp_path: Path) -> None:
    lexicon = tmp_path / "l.yaml"
    terms = "".join(f"  - {{term: {term}, group: g}}\n" for term in (E, E_AND_SIGN))
    lexicon.write_text(f"description: d\nterms:\n{terms}")
    with pytest.raises(InputError, match="again; allowed: each term once"):
        read_lexicon(lexicon)


TEMPLATE = """description: d
templates:
  - {id: lamp, category: c, concepts: shades, slot: fruits, test: "{concept}. A", control: "A", neutral: "x. A"}
"""


def built(folder: Path, languages: Languages, **of_lexicon: str) -> PromptSet:
    folder.joinpath("templates.yaml").write_text(TEMPLATE)
    for name in ("shades", "fruits"):
        line = f"language: {of_lexicon[name]}\n" if name in of_lexicon else ""
        lexicon = f"description: d\n{line}terms:\n  - {{term: नीला, group: g}}\n"
        folder.joinpath(f"{name}.yaml").write_text(lexicon)
    return build_prompts(
        [folder / f"{name}.yaml" for name in ("templates", "shades", "fruits")], "mine", languages=languages
    )


def test_prompts_say_their_languages_and_lexicons_have_to_be_in_them(tmp_path: Path) -> None:
    crossed = Languages("en", "hi")
    prompts = built(tmp_path, crossed, shades="hi", fruits="en").prompts
    assert languages_of(prompts) == crossed
    assert prompts["prompt_id"].tolist()[-1] == "lamp/नीला"
    assert languages_of(built(tmp_path, crossed).prompts) == crossed
    with pytest.raises(InputError, match=r"shades.yaml: language: got 'en'; allowed: 'hi', the language of the prompt"):
        built(tmp_path, crossed, shades="en")
    with pytest.raises(InputError, match=r"fruits.yaml: language: got 'hi'; allowed: 'en'"):
        built(tmp_path, crossed, fruits="hi")


def test_repetition_is_by_the_language_of_the_concept() -> None:
    settings = {"kind": "lexical"}
    languages = ["en", "de", "en de", "fr"]
    found = score_pairs(["Zitrone"] * 4, ["zwei Zitronen"] * 4, settings, languages=languages)
    assert found.tolist() == [0, 1, 1, 0]


def test_an_echo_is_found_where_no_spaces_stand_between_words() -> None:
    prompt = "前门是柠檬黄色的。墙壁是"
    assert restated("前门是柠檬绿色的", prompt, "柠檬黄色", language="zh") == "prompt"
    assert restated("墙壁是绿色的。", prompt, "柠檬黄色", language="zh") == ""


def test_a_table_says_whether_its_scorer_reads_the_prompts() -> None:
    table = pd.DataFrame({"prompt_set": ["a", "b"], "scorer": ["s", "s"]})
    assert with_reading(table, {"s": {"a": "yes", "b": "no"}})["scorer_reads"].tolist() == ["yes", "no"]
