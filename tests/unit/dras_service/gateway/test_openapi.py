import pytest

from dras_service.api.problems import MEDIA_TYPE


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere(document):
    schemas = document["components"]["schemas"]
    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)


def test_every_error_of_every_address_is_a_problem_document(document):
    for path in document["paths"].values():
        for operation in path.values():
            errors = {status: body for status, body in operation["responses"].items() if status >= "400"}
            assert "500" in errors
            for body in errors.values():
                assert list(body["content"]) == [MEDIA_TYPE]


def test_the_upload_lists_what_it_takes_and_where_the_job_will_be(document):
    upload = document["paths"]["/v1/studies"]["post"]
    assert {"application/zip", "multipart/form-data", "multipart/related"} <= set(
        upload["requestBody"]["content"]
    )
    assert "Location" in upload["responses"]["202"]["headers"]


def test_job_and_problem_come_with_examples(document):
    schemas = document["components"]["schemas"]
    assert schemas["JobView"]["examples"]
    assert schemas["Problem"]["examples"]


def test_every_error_of_every_address_comes_with_an_example_of_each_code(document):
    for path in document["paths"].values():
        for operation in path.values():
            for status, body in operation["responses"].items():
                if status < "400":
                    continue
                examples = body["content"][MEDIA_TYPE]["examples"]
                assert examples
                for code, example in examples.items():
                    assert example["value"]["code"] == code
                    assert str(example["value"]["status"]) == status
                    assert code in body["description"]


def test_no_parameter_may_be_null(document):
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                assert {"type": "null"} not in parameter.get("schema", {}).get("anyOf", ())
