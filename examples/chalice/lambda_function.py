"""A function as it is written for Lambda, without Chalice: it answers where its event has come from."""

from typing import Any

import boto3  # type: ignore[import-untyped]


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    request = event["requestContext"]
    if request["routeKey"] == "$default":
        client = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=f"https://{request['domainName']}/{request['stage']}",
            region_name="us-west-2",
        )
        client.post_to_connection(ConnectionId=request["connectionId"], Data=f"You said: {event['body']}")
    return {"statusCode": 200}
