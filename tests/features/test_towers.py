"""Text towers: token access changes nothing, and CLIP's tower says what CLIP says."""

import pytest
import torch

from whyact.errors import UserError
from whyact.features.clip import ClipTower, load_clip
from whyact.features.towers import StandInTower, encode_ids, encode_texts


def test_reading_position_matters_and_later_tokens_do_not():
    tower = StandInTower()
    tokens = torch.randn(1, 10, tower.token_width)
    later = tokens.clone()
    later[:, 6:] += 1
    at = torch.tensor([5])
    torch.testing.assert_close(tower.encode(tokens, at), tower.encode(later, at))
    assert not torch.allclose(tower.encode(tokens, at), tower.encode(tokens, at - 1))


def test_a_tower_of_the_same_seed_is_the_same_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b = StandInTower(seed=2), StandInTower(seed=2)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(encode_texts(a, ["pole vault"]), encode_texts(b, ["pole vault"]))
    assert not torch.equal(encode_texts(a, ["pole vault"]), encode_texts(StandInTower(seed=3), ["pole vault"]))


def test_texts_of_different_length_encode_as_they_do_alone():
    tower = StandInTower()
    texts = ["jump", "clean and jerk"]
    together = encode_texts(tower, texts)
    for i, text in enumerate(texts):
        torch.testing.assert_close(together[i], encode_texts(tower, [text])[0], rtol=1e-4, atol=1e-4)


def test_too_many_tokens_are_refused():
    with pytest.raises(UserError, match="30 tokens"):
        encode_ids(StandInTower(), [list(range(30))])


def test_clip_tower_equals_clip():
    open_clip = pytest.importorskip("open_clip", reason="needs the extra clip")
    torch.manual_seed(0)
    text = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    vision = {"layers": 1, "width": 16, "patch_size": 16, "image_size": 32, "head_width": 8}
    model = open_clip.model.CLIP(8, vision, text).eval()
    tower = ClipTower(model, open_clip.SimpleTokenizer(context_length=12))
    words = ["shot put", "a person who jumps"]
    expected = model.encode_text(open_clip.SimpleTokenizer(context_length=12)(words))
    torch.testing.assert_close(encode_texts(tower, words), expected, rtol=1e-4, atol=1e-5)
    assert (tower.out_width, tower.token_width, tower.positions) == (8, 16, 12)


def test_weights_that_are_not_there_are_named():
    pytest.importorskip("open_clip", reason="needs the extra clip")
    with pytest.raises(UserError, match="nowhere"):
        load_clip("RN50", "nowhere")
