// Uninitialised numbers, aligned to a cache line and freed at the end of the scope.
template <class T> class Scratch {
  public:
    explicit Scratch(i64 count) {
        data_ = static_cast<T*>(std::aligned_alloc(64, std::size_t(round_up(count * i64(sizeof(T)), 64) + 64)));
        if (data_ == nullptr) std::abort();
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { std::free(data_); }
    operator T*() { return data_; }

  private:
    T* data_;
};
