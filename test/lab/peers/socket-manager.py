# A service manager in small: opens listening sockets, hands them over as sd_listen_fds(3) says, starts the program again whenever it ends, and
# keeps the sockets meanwhile. Arguments: [[NAME, PORT, TRANSPARENT], ...] as JSON, then the program. SIGTERM ends both.
import json, os, signal, socket, sys

sockets = []
for name, port, transparent in json.loads(sys.argv[1]):
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if transparent:
        listener.setsockopt(socket.IPPROTO_IPV6, 75, 1)  # IPV6_TRANSPARENT
    listener.bind(("::", port))
    listener.listen(1024)
    # Out of the way of the descriptors they are handed over as.
    sockets.append((name, os.dup2(listener.fileno(), 100 + len(sockets))))

program = sys.argv[2:]
child = 0
over = False


def end(_signal, _frame):
    global over
    over = True
    os.kill(child, signal.SIGTERM)


signal.signal(signal.SIGTERM, end)
while not over:
    child = os.fork()
    if child == 0:
        for index, (_, fd) in enumerate(sockets):
            os.dup2(fd, 3 + index)
            os.close(fd)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(name for name, _ in sockets))
        os.execvp(program[0], program)
    print("started", child, flush=True)
    while True:
        try:
            _, status = os.waitpid(child, 0)
            break
        except InterruptedError:
            pass
    print("ended", os.waitstatus_to_exitcode(status), flush=True)
