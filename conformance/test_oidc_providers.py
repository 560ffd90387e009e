"""IAM's identity providers through boto3: what AWS answers and what it refuses."""

import datetime

import pytest
from access import allow, client, new_user, refused, unique

GITHUB = "https://token.actions.githubusercontent.com"


@pytest.fixture
def iam(target):
    return client(target, "iam")


def test_a_providers_whole_life(iam, target):
    name = f"{unique('idp')}.example/realms/a"
    made = iam.create_open_id_connect_provider(
        Url=f"https://{name}", ClientIDList=["app"], ThumbprintList=["b" * 40], Tags=[{"Key": "team", "Value": "a"}]
    )
    arn = f"arn:aws:iam::{target.account}:oidc-provider/{name}"
    assert (made["OpenIDConnectProviderArn"], made["Tags"]) == (arn, [{"Key": "team", "Value": "a"}])
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (found["Url"], found["ClientIDList"], found["ThumbprintList"]) == (name, ["app"], ["b" * 40])
    assert abs(found["CreateDate"] - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
    assert {"Arn": arn} in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]

    for _ in range(2):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="web")
    for _ in range(2):
        iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="app")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=[])
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (found["ClientIDList"], found["ThumbprintList"]) == (["web"], [])

    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=[{"Key": "TEAM", "Value": "b"}])
    tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)
    assert (tags["Tags"], tags["IsTruncated"]) == ([{"Key": "TEAM", "Value": "b"}], False)
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["team"])
    assert iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"] == []

    # Deleting what is not there is no error, as AWS documents it.
    for _ in range(2):
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with refused("NoSuchEntity", 404, f"OpenIDConnect Provider not found for arn {arn}"):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with refused("NoSuchEntity", 404):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="app")


def test_the_provider_of_github_is_called_as_on_aws(iam, target):
    made = iam.create_open_id_connect_provider(Url=GITHUB, ClientIDList=["sts.amazonaws.com"])
    arn = f"arn:aws:iam::{target.account}:oidc-provider/token.actions.githubusercontent.com"
    assert made["OpenIDConnectProviderArn"] == arn
    with refused("EntityAlreadyExists", 409, f"Provider with url {GITHUB} already exists."):
        iam.create_open_id_connect_provider(Url=GITHUB)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


@pytest.mark.parametrize(
    "url",
    [
        "idp.example",
        "http://idp.example",
        "https://user@idp.example",
        "https://idp.example?a=b",
        "https://idp.example/*",
        "https://" + "a" * 250 + ".example",
    ],
)
def test_what_is_no_issuer_is_refused(iam, url):
    with refused("ValidationError", 400, "at 'url' failed to satisfy constraint"):
        iam.create_open_id_connect_provider(Url=url)


def test_more_than_the_quotas_allow_is_refused(iam):
    url = f"https://{unique('idp')}.example"
    with refused("LimitExceeded", 409, "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"):
        iam.create_open_id_connect_provider(Url=url, ClientIDList=[f"c{n}" for n in range(101)])
    with refused("InvalidInput", 400, "Thumbprint list must contain fewer than 5 entries."):
        iam.create_open_id_connect_provider(Url=url, ThumbprintList=["a" * 40] * 6)
    with refused("ValidationError", 400):
        iam.create_open_id_connect_provider(Url=url, ThumbprintList=["g" * 40])


def test_a_new_provider_with_tags_needs_the_permission_to_tag(target):
    _, keys = new_user(target, allow("iam:CreateOpenIDConnectProvider"))
    url = f"https://{unique('idp')}.example"
    with refused("AccessDenied", 403, "iam:TagOpenIDConnectProvider"):
        client(target, "iam", keys).create_open_id_connect_provider(Url=url, Tags=[{"Key": "a", "Value": "b"}])
    assert client(target, "iam", keys).create_open_id_connect_provider(Url=url)["OpenIDConnectProviderArn"]
