/// A node whose outside is memory: what is injected leaves by its port, what arrives is kept. For
/// tests and benchmarks of whole graphs without devices or privileges.
#pragma once

#include <vector>

#include "core/node.h"

namespace warren {

class MemoryNode final : public Node {
 public:
  MemoryNode(std::string name, const Capabilities& capabilities)
      : Node(std::move(name)), port_(capabilities, arrived_) {}

  [[nodiscard]] std::string_view kind() const noexcept override { return "memory"; }
  [[nodiscard]] std::vector<Port*> ports() override { return {&port_}; }

  /// Sends every packet of the batch to the node that this one is linked to.
  void inject(Batch& batch) noexcept { port_.inject(batch); }
  /// What has arrived, in order; the caller may take packets out.
  [[nodiscard]] std::vector<Packet>& arrived() noexcept { return arrived_; }
  [[nodiscard]] unsigned batches() const noexcept { return port_.batches; }
  [[nodiscard]] unsigned flushes() const noexcept { return port_.flushes; }

 private:
  class MemoryPort final : public Port {
   public:
    MemoryPort(const Capabilities& capabilities, std::vector<Packet>& arrived)
        : Port("port"), capabilities_(capabilities), arrived_(arrived) {}
    [[nodiscard]] Capabilities capabilities() const noexcept override { return capabilities_; }
    void receive(Batch& batch) noexcept override {
      ++batches;
      received.packets.add(batch.size());
      received.bytes.add(batch.total_bytes());
      for (std::size_t i = 0; i < batch.size(); ++i) arrived_.push_back(batch.take(i));
      batch.clear();
    }
    void flush() noexcept override { ++flushes; }
    void inject(Batch& batch) noexcept {
      emit(batch);
      emit_flush();
    }
    unsigned batches = 0;
    unsigned flushes = 0;

   private:
    Capabilities capabilities_;
    std::vector<Packet>& arrived_;
  };

  std::vector<Packet> arrived_;
  MemoryPort port_;
};

/// Makes a MemoryNode, and remembers it for the test that holds the configuration.
class MemoryNodeConfig final : public NodeConfigOf<Capabilities> {
 public:
  using NodeConfigOf::NodeConfigOf;

  [[nodiscard]] std::string_view kind() const noexcept override { return "memory"; }
  [[nodiscard]] Result<std::unique_ptr<Node>> create(const std::string& name,
                                                     Loop&) const override {
    return std::make_unique<MemoryNode>(name, settings_);
  }
};

}  // namespace warren
