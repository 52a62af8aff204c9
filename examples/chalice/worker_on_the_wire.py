"""A worker as it is written for AWS; its environment says where that is: ``python worker_on_the_wire.py ID TEXT``."""

import sys

import boto3  # type: ignore[import-untyped]

client = boto3.client(
    "apigatewaymanagementapi",
    endpoint_url="https://abcd1234.execute-api.us-west-2.amazonaws.com/api",
    region_name="us-west-2",
)


def tell(connection_id: str, text: str) -> None:
    try:
        client.post_to_connection(ConnectionId=connection_id, Data=text)
        print("sent")
    except client.exceptions.GoneException:
        print(connection_id, "is gone")


tell(*sys.argv[1:3])
