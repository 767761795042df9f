#include "net/journal.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include <warren/fd.h>

#include "core/log.h"

namespace warren::net {

namespace {

using Json = nlohmann::json;

// Never reused, unlike the number of the file.
std::string netns_cookie() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  (void)::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
  return std::to_string(cookie);
}

std::string line(const std::vector<std::string>& words) {
  return Json(words).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

struct Content {
  std::vector<Undo> changes;  // in the order in which they were made
  bool elsewhere = false;     // in another network namespace
};

Content read(const std::string& path) {
  std::ifstream in(path);
  Content content;
  for (std::string text; std::getline(in, text);) {
    const auto json = Json::parse(text, nullptr, false);
    if (!json.is_array()) continue;
    Undo undo;
    for (const auto& word : json)
      if (word.is_string()) undo.words.push_back(word.get<std::string>());
    if (!undo.words.empty() && undo.words[0] == "netns")
      content.elsewhere = undo.words != std::vector<std::string>{"netns", netns_cookie()};
    else if (!undo.words.empty())
      content.changes.push_back(std::move(undo));
  }
  return content;
}

}  // namespace

Result<std::size_t> Journal::left_behind(const std::string& path) {
  const auto content = read(path);
  if (content.elsewhere && !content.changes.empty())
    return fail(
        fmt::format("{} names changes in another network namespace: run this there, or remove "
                    "the file if that namespace is gone",
                    path),
        EXDEV);
  return content.changes.size();
}

Result<> Journal::open(const std::string& instance, const std::string& path) {
  instance_ = instance;
  if (auto done = replay(path); !done) return done;
  path_ = path;
  return {};
}

Result<> Journal::replay(const std::string& path) {
  const auto [changes, elsewhere] = read(path);
  if (elsewhere) {
    log::warning(
        "{} changes of a killed instance were in another network namespace; they are forgotten",
        changes.size());
  } else if (!changes.empty()) {
    log::info("taking back {} changes of an instance that did not end in order", changes.size());
    auto socket = netlink::Socket::open();
    if (!socket) return tl::unexpected(socket.error());
    for (auto undo = changes.rbegin(); undo != changes.rend(); ++undo)
      if (auto done = perform(*undo, *socket); !done) log::warning("{}", done.error().message);
  }
  ::unlink(path.c_str());
  return {};
}

void Journal::close() {
  if (!path_.empty() && changes_.empty()) ::unlink(path_.c_str());
}

Result<Journal::Id> Journal::add(const Undo& undo) {
  const auto id = next_++;
  changes_[id] = undo;
  if (auto done = write(); !done) {
    changes_.erase(id);
    return tl::unexpected(done.error());
  }
  return id;
}

Result<> Journal::undo(Id id, netlink::Socket& socket) {
  const auto found = changes_.find(id);
  if (found == changes_.end()) return {};
  auto done = perform(found->second, socket);
  // What could not be undone stays in the file, and the next start tries again.
  if (!done) return done;
  changes_.erase(found);
  return write();
}

// Whole and then renamed, so that there always is a complete one.
Result<> Journal::write() const {
  if (path_.empty()) return {};
  std::string text = line({"netns", netns_cookie()});
  for (const auto& [id, undo] : changes_) text += line(undo.words);
  const auto temporary = path_ + ".new";
  std::ofstream out(temporary, std::ios::trunc);
  out << text;
  out.close();
  if (!out || std::rename(temporary.c_str(), path_.c_str()) != 0)
    return fail_errno("write the journal " + path_);
  return {};
}

Journal& journal() {
  static Journal journal;
  return journal;
}

}  // namespace warren::net
