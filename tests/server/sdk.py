"""OpenAI's Python client against the server: every method, every class of error, and what chat clients send."""

import base64
import io
import json
import threading
import urllib.request

import openai
from openai import OpenAI
from PIL import Image

from serve import TINY, serve


def png(color="red", size=(48, 48), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, "PNG")
    return file.getvalue()


def mask(size=(48, 48)):
    image = Image.new("RGBA", size, "black")
    image.paste((0, 0, 0, 0), (12, 12, 36, 36))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def picture(datum):
    image = Image.open(io.BytesIO(base64.b64decode(datum.b64_json)))
    image.load()
    return image


def raises(kind, call, **wanted):
    try:
        call()
    except kind as error:
        assert type(error) is kind, type(error)
        for name, value in wanted.items():
            assert getattr(error, name) == value, (name, getattr(error, name))
        return error
    raise AssertionError(f"no {kind.__name__}")


def methods(address):
    client = OpenAI(base_url=f"{address}/v1", api_key="none")
    fast = dict(extra_body=dict(seed=7, preset="fast"))
    for n in (1, 3, 10):
        images = client.images.generate(prompt="a house", n=n, size="256x256", quality="hd", style="vivid", **fast)
        assert len(images.data) == n and images.created > 0
        assert all(picture(datum).size == (256, 256) and datum.url for datum in images.data)
    assert client.images.generate(prompt="a house", response_format="b64_json", **fast).data[0].url is None
    url = client.images.generate(prompt="a house", response_format="url", **fast).data[0].url
    assert Image.open(urllib.request.urlopen(url)).size == (24, 24)
    for format, name in (("jpeg", "JPEG"), ("webp", "WEBP")):
        assert picture(client.images.generate(prompt="a house", output_format=format, **fast).data[0]).format == name
    raw = client.images.with_raw_response.generate(prompt="a house", quality="hd", model="gpt-image-1", **fast)
    assert raw.headers["x-unclip-ignored"] == "quality" and raw.headers["x-unclip-model"] == "tiny"

    varied = client.images.create_variation(image=("a.png", png()), n=2, size="256x256", **fast)
    assert [picture(datum).size for datum in varied.data] == [(256, 256)] * 2
    for image in (("a.png", png()), [("a.png", png())]):  # the second is sent as image[]
        edited = client.images.edit(image=image, mask=("mask.png", mask()), prompt="a tree", **fast)
        assert picture(edited.data[0]).size == (48, 48)
        assert picture(edited.data[0]).convert("RGB").getpixel((0, 0)) == (255, 0, 0)

    for events, kind in (
        (client.images.generate(prompt="a house", stream=True, partial_images=2, **fast), "image_generation"),
        (
            client.images.edit(
                image=("a.png", png()), mask=("m.png", mask()), prompt="a tree", stream=True, partial_images=1, **fast
            ),
            "image_edit",
        ),
    ):
        events = list(events)
        assert events[-1].type == f"{kind}.completed" and events[-1].usage.total_tokens == 0
        assert all(event.type == f"{kind}.partial_image" for event in events[:-1])
        assert picture(events[-1]).size in ((24, 24), (48, 48))

    embeddings = client.embeddings.create(model="tiny", input=["a house", "a tree"])  # the client asks for base64
    assert len(embeddings.data) == 2 and len(embeddings.data[0].embedding) > 10
    assert client.models.list().data[0].id == "tiny" and client.models.retrieve("tiny").id == "tiny"


def errors(address):
    client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    generate = client.images.generate
    bad = openai.BadRequestError
    for field, value in (("n", 0), ("n", 11), ("size", "5000x5000"), ("prompt", ""), ("response_format", "x")):
        error = raises(bad, lambda: generate(**{"prompt": "a house", field: value}), status_code=400, param=field)
        assert error.type == "invalid_request_error" and error.message and error.request_id
    raises(bad, lambda: client.images.create_variation(image=("a.png", b"no picture")), param="image")
    raises(bad, lambda: client.images.edit(image=("a.png", png()), prompt="a tree"), param="mask")
    raises(openai.NotFoundError, lambda: generate(prompt="a", model="nothing"), code="model_not_found", param="model")
    raises(openai.NotFoundError, lambda: client.models.retrieve("nothing"), code="model_not_found")
    origin = {"Origin": "http://evil.example"}
    raises(openai.PermissionDeniedError, lambda: generate(prompt="a", extra_headers=origin), status_code=403)
    long = lambda: client.images.create_variation(image=("a.png", bytes(60_000_000)))
    raises(openai.APIStatusError, long, status_code=413, code="request_too_large")


def keys():
    with serve("--model", TINY, "--api-key", "secret") as address:
        wrong = OpenAI(base_url=f"{address}/v1", api_key="other")
        raises(openai.AuthenticationError, lambda: wrong.models.list(), status_code=401, code="invalid_api_key")
        OpenAI(base_url=f"{address}/v1", api_key="secret").images.generate(prompt="a house", extra_body=dict(preset="fast"))


def overload():
    """A full queue is a RateLimitError, and with the client's own retries nothing is lost."""
    with serve("--model", TINY, "--queue", "1") as address:
        slow = dict(prompt="a house", n=4, extra_body=dict(decoder_num_inference_steps=200))
        once = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        results = []

        def ask():
            try:
                once.images.generate(**slow)
                results.append(200)
            except openai.RateLimitError as error:
                assert error.code == "queue_full" and int(error.response.headers["retry-after"]) >= 1
                results.append(429)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert set(results) == {200, 429}, results
        patient = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=8)
        threads = [threading.Thread(target=lambda: results.append(len(patient.images.generate(**slow).data))) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert results[-4:] == [4] * 4, results


def chat_clients(address):
    """The requests of three chat clients, and what they read of the answers (families.md F)."""

    def post(path, body):
        request = urllib.request.Request(
            address + path, json.dumps(body).encode(), {"Content-Type": "application/json", "Authorization": "Bearer x"}
        )
        return json.load(urllib.request.urlopen(request))

    prompt = "a house"
    open_webui = dict(model="dall-e-2", prompt=prompt, n=1, size="512x512", response_format="b64_json")
    librechat = dict(
        model="gpt-image-1", prompt=prompt, n=1, background="auto", output_format="png", output_compression=100,
        quality="auto", size="auto",
    )  # fmt: skip
    tavern = dict(prompt=prompt, model="dall-e-3", size="1024x1024", n=1, quality="standard", style="vivid", response_format="b64_json")
    for body in (open_webui, librechat, tavern):
        assert base64.b64decode(post("/v1/images/generations", body)["data"][0]["b64_json"])[:4] == b"\x89PNG"
    body = dict(prompt=prompt, negative_prompt="", cfg_scale=4.5, steps=22, width=1024, height=1024)  # LibreChat
    answer = post("/sdapi/v1/txt2img", body)
    assert base64.b64decode(answer["images"][0])[:4] == b"\x89PNG"
    info = json.loads(answer["info"])
    assert info["width"] == 1024 and isinstance(info["seed"], int) and info["infotexts"]


with serve("--model", TINY, "--a1111") as address:
    methods(address)
    errors(address)
    chat_clients(address)
keys()
overload()
print("OpenAI's Python client: all well")
