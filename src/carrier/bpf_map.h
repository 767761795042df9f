/// A BPF hash map with its types, for the program that sets it up. One system call per element, or
/// per some thousands where all are read.
#pragma once

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::carrier {

template <class Key, class Value>
class BpfMap {
 public:
  BpfMap() = default;
  explicit BpfMap(Fd fd) : fd_(std::move(fd)) {}

  [[nodiscard]] int fd() const { return fd_.get(); }

  [[nodiscard]] std::optional<Value> find(const Key& key) const {
    Value value{};
    if (::bpf_map_lookup_elem(fd_.get(), &key, &value) != 0) return std::nullopt;
    return value;
  }

  /// Adds or overwrites. E2BIG where the map is full.
  Result<> put(const Key& key, const Value& value) {
    if (::bpf_map_update_elem(fd_.get(), &key, &value, BPF_ANY) != 0)
      return fail_errno("write into a BPF map");
    return {};
  }

  /// No error where the key is not there.
  Result<> erase(const Key& key) {
    if (::bpf_map_delete_elem(fd_.get(), &key) != 0 && errno != ENOENT)
      return fail_errno("delete from a BPF map");
    return {};
  }

  /// Everything; what changes meanwhile may be missing.
  [[nodiscard]] Result<std::vector<std::pair<Key, Value>>> all() const {
    std::vector<std::pair<Key, Value>> elements;
    std::vector<Key> keys(batch_size);
    std::vector<Value> values(batch_size);
    std::uint32_t at = 0;  // of a hash map: the next bucket
    bool first = true;
    for (;;) {
      auto count = static_cast<std::uint32_t>(keys.size());
      const int result = ::bpf_map_lookup_batch(fd_.get(), first ? nullptr : &at, &at, keys.data(),
                                                values.data(), &count, nullptr);
      const int error = result == 0 ? 0 : errno;
      if (error == ENOSPC) {  // a bucket with more than there is room for
        keys.resize(keys.size() * 2);
        values.resize(values.size() * 2);
        continue;
      }
      if (error != 0 && error != ENOENT) return fail_errno("read a BPF map", error);
      for (std::uint32_t i = 0; i < count; ++i) elements.emplace_back(keys[i], values[i]);
      if (error == ENOENT) return elements;
      first = false;
    }
  }

  [[nodiscard]] bool empty() const {
    Key key{};
    return ::bpf_map_get_next_key(fd_.get(), nullptr, &key) != 0;
  }

  [[nodiscard]] std::uint32_t capacity() const {
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    return ::bpf_obj_get_info_by_fd(fd_.get(), &info, &size) == 0 ? info.max_entries : 0;
  }

 private:
  static constexpr std::size_t batch_size = 4096;
  Fd fd_;
};

}  // namespace warren::carrier
