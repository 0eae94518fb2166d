#!/usr/bin/env python3
"""One signed S3 request, for tests: makes buckets, sets their rules, and looks at what lies there with other eyes than Lifeboat's.

    request.py METHOD PATH[?QUERY] [FILE] [Header=Value ...]

Reads S3_ENDPOINT, S3_CA, S3_ACCESS, S3_SECRET; prints the answer's body, ends with 0 for a status below 300, else prints it to
standard error and ends with 1.
"""
import base64
import datetime
import hashlib
import hmac
import http.client
import os
import ssl
import sys
import urllib.parse


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def main():
    method, target, *rest = sys.argv[1:]
    body = b""
    if rest and "=" not in rest[0]:
        with open(rest.pop(0), "rb") as file:
            body = file.read()
    url = urllib.parse.urlsplit(os.environ["S3_ENDPOINT"])
    path, _, query = target.partition("?")
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    query = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}" for k, v in pairs)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": url.netloc, "x-amz-date": now, "x-amz-content-sha256": digest}
    if body:
        headers["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
    headers.update((name.lower(), value) for name, _, value in (one.partition("=") for one in rest))
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    path = "/" + urllib.parse.quote(path, safe="/-_.~")
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + os.environ["S3_SECRET"]).encode()
    for part in (now[:8], "us-east-1", "s3", "aws4_request"):
        key = sign(key, part)
    signature = sign(key, text).hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={os.environ['S3_ACCESS']}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    context = ssl.create_default_context(cafile=os.environ["S3_CA"])
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=60)
    connection.request(method, path + ("?" + query if query else ""), body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        sys.stderr.write(f"{answer.status} {content.decode(errors='replace')}\n")
        sys.exit(1)
    sys.stdout.buffer.write(content)


main()
