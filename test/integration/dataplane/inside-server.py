"""A server inside the sandbox: HTTP that tells what it received, and a WebSocket that echoes."""
import base64, hashlib, json, socket, sys, threading

PORT = int(sys.argv[1])
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def read_head(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        got = conn.recv(65536)
        if not got:
            return None, b""
        data += got
    head, rest = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = [line.split(": ", 1) for line in lines[1:]]
    return (method, path, headers), rest


def echo_frames(conn, data):
    while True:
        while len(data) < 2 or len(data) < frame_bytes(data):
            got = conn.recv(65536)
            if not got:
                return
            data += got
        size, whole = data[1] & 127, frame_bytes(data)
        start = 4 if size == 126 else 10 if size == 127 else 2
        mask, body = data[start:start + 4], data[start + 4:whole]
        opcode = data[0] & 15
        plain = bytes(b ^ mask[i % 4] for i, b in enumerate(body))
        conn.sendall(bytes([0x80 | opcode]) + data[1:start].replace(data[1:2], bytes([data[1] & 127]), 1) + plain)
        if opcode == 8:
            return
        data = data[whole:]


def frame_bytes(data):
    size = data[1] & 127
    start = 4 if size == 126 else 10 if size == 127 else 2
    if len(data) < start:
        return 1 << 62
    length = size if size < 126 else int.from_bytes(data[2:start], "big")
    return start + 4 + length


def serve(conn):
    request, rest = read_head(conn)
    if request is None:
        return
    method, path, headers = request
    named = {name.lower(): value for name, value in headers}
    if named.get("upgrade") == "websocket":
        accept = base64.b64encode(hashlib.sha1(named["sec-websocket-key"].encode() + GUID).digest()).decode()
        conn.sendall(f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nX-Banyan-Code: sandbox.not_found\r\n\r\n".encode())
        return echo_frames(conn, rest)
    if path.startswith("/silent"):
        return
    length = int(named.get("content-length", 0))
    body = bytearray(rest)
    if "chunked" in named.get("transfer-encoding", ""):
        while not body.endswith(b"0\r\n\r\n"):
            body += conn.recv(1 << 20)
    while len(body) < length:
        body += conn.recv(1 << 20)
    answer = json.dumps({"method": method, "path": path, "headers": headers, "body_bytes": len(body)}).encode()
    if path.startswith("/forge"):
        head = "HTTP/1.1 404 Gone\r\nX-Banyan-Code: sandbox.not_found\r\nX-Request-Id: forged\r\n"
    elif path.startswith("/redirect"):
        head = "HTTP/1.1 302 Found\r\nLocation: /elsewhere?x=1\r\n"
    else:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    head += "Set-Cookie: app=1; Path=/; Domain=localhost\r\nSet-Cookie: second=2\r\nClear-Site-Data: \"*\"\r\n"
    if path.startswith("/large"):
        size = int(path.split("=")[1])
        conn.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        for _ in range(size >> 16):
            conn.sendall(bytes(1 << 16))
        return
    conn.sendall(f"{head}Content-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode() + answer)


def handle(conn):
    try:
        serve(conn)
    finally:
        conn.close()


listener = socket.socket(socket.AF_INET6 if len(sys.argv) > 2 else socket.AF_INET)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1", PORT))
listener.listen(512)
print("ready", flush=True)
while True:
    conn, _ = listener.accept()
    threading.Thread(target=handle, args=(conn,), daemon=True).start()
